# Golden numbers for decisions at a cut-off. Rscript tests/golden/make_decisions.R > tests/golden/decisions.json
# Packages: epiR, clubSandwich, pROC, jsonlite. R is not needed to run the tests.
suppressMessages({library(epiR); library(clubSandwich); library(pROC); library(jsonlite)})
set.seed(21)
m <- 1 + rpois(40, 1.4); patient <- rep(seq_along(m), m); group <- c("a", "b", "c")[1 + patient %% 3]
value <- round(rnorm(40)[patient] + rnorm(length(patient)) + c(a = 1.2, b = 0, c = .5)[group], 2)
d <- data.frame(patient, group, value)

clustered <- function(x, p) { f <- lm(x ~ 1, data.frame(x = as.numeric(x))); as.numeric(vcovCR(f, cluster = p, type = "CR1")) }
at <- function(d, cutoff, prevalence) {
  a <- d[d$group == "a", ]; b <- d[d$group == "b", ]
  hit <- a$value > cutoff; reject <- b$value <= cutoff
  tab <- as.table(matrix(c(sum(hit), sum(!hit), sum(!reject), sum(reject)), 2))
  e <- epi.tests(tab)$detail; est <- setNames(e$est, e$statistic)
  s <- mean(hit); c <- mean(reject); vs <- clustered(hit, a$patient); vc <- clustered(reject, b$patient)
  z <- qnorm(.975)
  lrp <- s / (1 - c); wp <- z * sqrt(vs / s^2 + vc / (1 - c)^2); lrn <- (1 - s) / c; wn <- z * sqrt(vs / (1 - s)^2 + vc / c^2)
  odds <- prevalence / (1 - prevalence); share <- function(o) o / (1 + o)
  list(cutoff = cutoff, prevalence = prevalence, counts = as.numeric(tab), se = est[["se"]], sp = est[["sp"]],
       lr_positive = est[["lr.pos"]], lr_negative = est[["lr.neg"]], accuracy = est[["diag.ac"]],
       lr_positive_low = lrp * exp(-wp), lr_positive_high = lrp * exp(wp), lr_negative_low = lrn * exp(-wn), lr_negative_high = lrn * exp(wn),
       ppv = prevalence * s / (prevalence * s + (1 - prevalence) * (1 - c)),
       npv = (1 - prevalence) * c / ((1 - prevalence) * c + prevalence * (1 - s)),
       ppv_low = share(odds * lrp * exp(-wp)), ppv_high = share(odds * lrp * exp(wp)),
       npv_low = 1 - share(odds * lrn * exp(wn)), npv_high = 1 - share(odds * lrn * exp(-wn)),
       accuracy_variance = clustered(c(hit, reject), c(a$patient, b$patient)))
}
p <- plogis(value); y <- group == "a"
curve <- sapply(c(.1, .25, .5, .7), function(t) { pi <- mean(y); w <- t / (1 - t); act <- p >= t
  pi * mean(act[y]) - (1 - pi) * mean(act[!y]) * w })
x <- round(rnorm(15, .02, .05), 4)
cat(toJSON(list(
  source = paste0(R.version.string, ", epiR ", packageVersion("epiR"), ", clubSandwich ", packageVersion("clubSandwich"), ", pROC ", packageVersion("pROC")),
  rows = d, decisions = list(at(d, .4, .1), at(d, 1.1, .3)),
  hand_till = as.numeric(multiclass.roc(d$group, d$value, direction = "auto", quiet = TRUE)$auc),
  curve = list(thresholds = c(.1, .25, .5, .7), net_benefit = curve),
  tost = list(values = x, margin = .05, lower = t.test(x, mu = -.05, alternative = "greater")$p.value,
    upper = t.test(x, mu = .05, alternative = "less")$p.value, ci = as.numeric(t.test(x, conf.level = .9)$conf.int))),
  digits = NA, auto_unbox = TRUE))
