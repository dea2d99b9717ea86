# Golden numbers for subgroups, sites, repeat readings, readers' areas and imputation.
# Rscript tests/golden/make_further.R > tests/golden/further.json
# Packages: lme4, clubSandwich, pROC, mice, jsonlite. R is not needed to run the tests.
suppressMessages({library(lme4); library(clubSandwich); library(pROC); library(mice); library(jsonlite)})
set.seed(15)
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12), check.conv.singular = "ignore")

# Groups by levels: a mean for each, CR2, Hotelling's T-squared (HTZ) on differences of differences.
m <- 1 + rpois(40, 1.4); k <- rep(seq_along(m), m)
d <- data.frame(patient = k, group = c("a", "b", "c")[1 + (k %% 3)], level = c("x", "y")[1 + (k %% 2)])
d$value <- round(rnorm(40)[k] + rnorm(nrow(d)) + c(a = 0, b = .8, c = 1.2)[d$group] * (d$level == "y"), 2)
d$cell <- interaction(d$level, d$group)  # a.x, a.y, b.x, ... with the level running first
fit <- lmer(value ~ 0 + cell + (1 | patient), d, control = tight)
V <- vcovCR(fit, cluster = d$patient, type = "CR2")
C <- rbind(c(1, -1, -1, 1, 0, 0), c(1, -1, 0, 0, -1, 1))
w <- Wald_test(fit, constraints = C, vcov = V, test = "HTZ")
subgroups <- list(rows = d[c("patient", "group", "level", "value")], f = w$Fstat, df1 = w$df_num, df2 = w$df_denom, p = w$p_val)

# Each site by the cut-off of the other.
pair <- d[d$group != "c", ]
at <- lapply(c("x", "y"), function(site) {
  here <- pair[pair$level == site, ]; away <- pair[pair$level != site, ]
  r <- roc(away$group, away$value, levels = c("a", "b"), direction = "<", quiet = TRUE)
  best <- coords(r, "best", best.method = "youden", transpose = FALSE)
  cut <- best$threshold[which.max(best$specificity)]
  list(site = site, cutoff = cut, elsewhere = as.numeric(r$auc),
       auc = as.numeric(roc(here$group, here$value, levels = c("a", "b"), direction = "<", quiet = TRUE)$auc),
       sensitivity = mean(here$value[here$group == "b"] > cut), specificity = mean(here$value[here$group == "a"] <= cut))
})

# Two readings of each lesion: one-way analysis of variance.
lesion <- rep(1:15, each = 2); reading <- round(rnorm(15, 10, 3)[lesion] + rnorm(30, 0, .7), 2)
ms <- anova(lm(reading ~ factor(lesion)))$`Mean Sq`
repeats <- list(lesion = lesion, value = reading, within_sd = sqrt(ms[2]), repeatability = qnorm(.975) * sqrt(2 * ms[2]),
                icc = (ms[1] - ms[2]) / (ms[1] + ms[2]))

# Obuchowski and Rockette's test of two parameters by three readers, covariances by DeLong.
n <- 24; truth <- rep(0:1, each = n / 2); signal <- c(1.0, 1.6); cases <- rnorm(n)
x <- lapply(1:2, function(i) sapply(1:3, function(j) round(signal[i] * truth + cases + rnorm(n, 0, .6), 2)))
curves <- unlist(lapply(x, function(s) apply(s, 2, function(v) list(roc(truth, v, direction = "<", quiet = TRUE)))), recursive = FALSE)
curves <- lapply(curves, function(each) each[[1]])
area <- matrix(sapply(curves, function(each) as.numeric(each$auc)), 2, 3, byrow = TRUE)
S <- sapply(curves, function(a) sapply(curves, function(b) if (identical(a, b)) var(a, method = "delong") else cov(a, b, method = "delong")))
same <- function(i) { B <- S[3 * (i - 1) + 1:3, 3 * (i - 1) + 1:3]; mean(B[row(B) != col(B)]) }
B <- S[1:3, 4:6]; cov2 <- mean(c(same(1), same(2))); cov3 <- mean(B[row(B) != col(B)])
e <- area - rowMeans(area) - matrix(colMeans(area), 2, 3, byrow = TRUE) + mean(area)
tr <- sum(e^2) / 2; noise <- tr + max(3 * (cov2 - cov3), 0)
f <- 3 * sum((rowMeans(area) - mean(area))^2) / noise; df2 <- noise^2 / (tr^2 / 2)
readers <- list(truth = truth, first = x[[1]], second = x[[2]], auc = rowMeans(area), f = f, df2 = df2, p = pf(f, 1, df2, lower.tail = FALSE))

# Rubin's rules with Barnard and Rubin's degrees of freedom.
q <- c(2.1, 2.6, 1.7, 2.4); u <- c(.25, .36, .3, .28); pooled <- pool.scalar(q, u, n = 31, k = 1)
cat(toJSON(list(source = paste0(R.version.string, ", lme4 ", packageVersion("lme4"), ", clubSandwich ", packageVersion("clubSandwich"),
    ", pROC ", packageVersion("pROC"), ", mice ", packageVersion("mice")),
  subgroups = subgroups, sites = at, repeats = repeats, readers = readers,
  imputed = list(estimates = q, variances = u, df = 30, estimate = pooled$qbar, variance = pooled$t, pooled_df = pooled$df)),
  digits = NA, auto_unbox = TRUE))
