"""The study page: planes as script files that open without a server, and the page that draws them."""
