# Golden numbers for ComBat. Debian: r-bioc-sva, r-cran-jsonlite. Rscript make_combat.R > combat.json
suppressMessages({library(sva); library(jsonlite)})
set.seed(3)
n <- 60; p <- 6
site <- sample(c("A", "B", "C"), n, TRUE, prob = c(.5, .3, .2))
group <- sample(c("x", "y", "z"), n, TRUE)
age <- round(rnorm(n, 60, 10))
values <- round(sapply(1:p, function(j)
  10 * j + rnorm(n, sd = j * c(A = 1, B = 1.6, C = .7)[site]) + j * (site == "B") - .5 * j * (site == "C")
  + .5 * j * (group == "y") + .03 * j * age), 3)
mod <- model.matrix(~ group + age)
harmonised <- function(f) suppressMessages(t(f(t(values), batch = site, mod = mod)))
# scanpy's prior variance of the sites' shifts divides by the number of parameters.
population <- ComBat
body(population) <- parse(text = sub("t2 <- rowVars(gamma.hat)",
  "t2 <- rowVars(gamma.hat) * (ncol(gamma.hat) - 1) / ncol(gamma.hat)", paste(deparse(body(ComBat)), collapse = "\n"),
  fixed = TRUE))[[1]]
stopifnot(any(grepl("ncol(gamma.hat) - 1", deparse(body(population)), fixed = TRUE)))
environment(population) <- asNamespace("sva")
cat(toJSON(list(source = paste0(R.version.string, ", sva ", packageVersion("sva")), values = values, site = site,
  group = group, age = age, sva = harmonised(ComBat), population = harmonised(population)), digits = NA, auto_unbox = TRUE))
