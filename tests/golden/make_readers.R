# Golden numbers for readers. Rscript tests/golden/make_readers.R > tests/golden/readers.json
# Packages: lme4, psych, jsonlite. R is not needed to run the tests.
suppressMessages({library(lme4); library(psych); library(jsonlite)})
set.seed(41)
lesion <- rep(1:40, each = 3); reader <- rep(c("A", "B", "C"), 40); truth <- rnorm(40, 10, 2)
d <- data.frame(lesion, patient = 1 + (lesion - 1) %/% 2, reader, value = round(truth[lesion] + c(A = 0, B = .8, C = -.4)[reader] + rnorm(120), 2))
d <- d[-sample(nrow(d), 35), ]
m <- lmer(value ~ 0 + reader + (1 | lesion), d, control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12)))
vc <- as.data.frame(VarCorr(m))$vcov; b <- fixef(m); V <- as.matrix(vcov(m)); k <- length(b)
pairs <- t(combn(k, 2)); chance <- mean(apply(pairs, 1, function(q) V[q[1], q[1]] + V[q[2], q[2]] - 2 * V[q[1], q[2]])) / 2
shift <- max(0, var(b) - chance)
a <- rnorm(60); x <- cbind(a + rnorm(60, 0, .5), a + rnorm(60, .2, .5)); yes <- 1 * (x > .3)
kap <- suppressWarnings(cohen.kappa(yes))
cat(toJSON(list(source = paste0(R.version.string, ", lme4 ", packageVersion("lme4"), ", psych ", packageVersion("psych")),
  ratings = list(rows = d, consistency = vc[1] / sum(vc), agreement = vc[1] / (sum(vc) + shift)),
  kappa = list(values = x, cutoff = .3, kappa = kap$kappa, variance = kap$var.kappa)), digits = NA, auto_unbox = TRUE))
