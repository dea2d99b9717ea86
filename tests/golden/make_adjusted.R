# Golden numbers for covariates. Rscript tests/golden/make_adjusted.R > tests/golden/adjusted.json
# Packages: lme4, clubSandwich, pROC, jsonlite. R is not needed to run the tests.
suppressMessages({library(lme4); library(clubSandwich); library(pROC); library(jsonlite)})
set.seed(33)
m <- 1 + rpois(36, 1.3); patient <- rep(seq_along(m), m); k <- patient
group <- c("a", "b", "c")[1 + patient %% 3]; age <- round(runif(36, 40, 80))[k]; site <- c("x", "y")[1 + (rbinom(36, 1, .4))][k]
size <- round(runif(length(k), 8, 30), 1)
d <- data.frame(patient, group, age, site, size, value = round(rnorm(36)[k] + rnorm(length(k)) + .05 * age + .03 * size + c(a = 1, b = 0, c = .4)[group] + .6 * (site == "y"), 2))
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12), check.conv.singular = "ignore")
fit <- lmer(value ~ 0 + group + I(age - mean(age)) + site + I(size - mean(size)) + (1 | patient), d, control = tight)
V <- vcovCR(fit, cluster = d$patient, type = "CR2"); p <- length(fixef(fit))
C <- rbind(c(1, -1, 0), c(1, 0, -1), c(0, 1, -1)); C <- cbind(C, matrix(0, 3, p - 3)); E <- cbind(matrix(0, 3, 3), diag(3))
pairs <- linear_contrast(fit, vcov = V, contrasts = C, test = "Satterthwaite"); own <- linear_contrast(fit, vcov = V, contrasts = E, test = "Satterthwaite")
w <- Wald_test(fit, constraints = C[1:2, ], vcov = V, test = "HTZ")
x <- d[d$group == "a", ]; y <- d[d$group == "b", ]; r <- lm(value ~ age + size, y)
auc <- as.numeric(roc(c(rep(1, nrow(x)), rep(0, nrow(y))), c(x$value - predict(r, x), residuals(r)), direction = "<", quiet = TRUE)$auc)
cat(toJSON(list(source = paste0(R.version.string, ", lme4 ", packageVersion("lme4"), ", clubSandwich ", packageVersion("clubSandwich"), ", pROC ", packageVersion("pROC")),
  rows = d, f = w$Fstat, df1 = w$df_num, df2 = w$df_denom, p = w$p_val,
  pairs = list(difference = pairs$Est, se = pairs$SE, df = pairs$df, low = pairs$CI_L, high = pairs$CI_U),
  covariates = list(difference = own$Est, se = own$SE, df = own$df), adjusted_area = auc), digits = NA, auto_unbox = TRUE))
