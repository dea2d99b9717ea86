# Golden numbers for differences inside lesions. Rscript tests/golden/make_within.R > tests/golden/within.json
# Packages: lme4, clubSandwich, car, carData, jsonlite. R is not needed to run the tests.
suppressMessages({library(lme4); library(clubSandwich); library(car); library(jsonlite)})
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12), check.conv.singular = "ignore")

# Lesions in patients in groups; normal liver once per patient; two values missing.
study <- function(seed, patients, extra, groups, spread) {
  set.seed(seed)
  d <- do.call(rbind, lapply(seq_len(patients), function(p) {
    b <- rnorm(1, 0, 1.2); g <- groups[1 + p %% length(groups)]
    lesions <- do.call(rbind, lapply(seq_len(1 + rpois(1, extra)), function(l)
      data.frame(patient = paste0("p", p), lesion = as.character(l), group = g, condition = c("core", "rim"),
        value = 20 + b + rnorm(1, 0, .7) + c(0, 1 + .8 * (g == "b")) + rnorm(2, 0, spread[1:2]))))
    rbind(lesions, data.frame(patient = paste0("p", p), lesion = "", group = g, condition = "parenchyma",
      value = 22.5 + b + rnorm(1, 0, spread[3])))
  }))
  d$value <- round(d$value, 2); d[-c(5, 17), ]
}
conditions <- c("core", "rim", "parenchyma")

mixed <- function(d) {
  d$condition <- factor(d$condition, conditions); d$l <- paste(d$patient, d$lesion); d$group <- factor(d$group)
  m <- lmer(value ~ 0 + condition + (1 | patient) + (1 | l), d, control = tight)
  V <- vcovCR(m, cluster = d$patient, type = "CR2")
  C <- rbind(c(1, -1, 0), c(1, 0, -1), c(0, 1, -1))
  k <- linear_contrast(m, vcov = V, contrasts = C, test = "Satterthwaite")
  w <- Wald_test(m, constraints = C[1:2, ], vcov = V, test = "HTZ")
  vc <- as.data.frame(VarCorr(m))
  # Fieller's interval of core over rim from the robust covariance.
  b <- fixef(m); t2 <- qt(.975, k$df[1])^2
  qa <- b[2]^2 - t2 * V[2, 2]; qb <- -2 * (b[1] * b[2] - t2 * V[1, 2]); qc <- b[1]^2 - t2 * V[1, 1]
  roots <- sort(Re(polyroot(c(qc, qb, qa))))
  out <- list(rows = d[c("patient", "lesion", "group", "condition", "value")],
    mean = unname(b), vcov = unname(as.matrix(V)),
    patient_variance = vc$vcov[vc$grp == "patient"], lesion_variance = vc$vcov[vc$grp == "l"],
    residual_variance = vc$vcov[vc$grp == "Residual"],
    difference = k$Est, se = k$SE, df = k$df, low = k$CI_L, high = k$CI_U,
    f = w$Fstat, df1 = w$df_num, df2 = w$df_denom, p = w$p_val,
    ratio = unname(b[1] / b[2]), ratio_low = roots[1], ratio_high = roots[2])
  if (nlevels(d$group) > 1) {
    d$cell <- interaction(d$condition, d$group, lex.order = FALSE)
    mi <- lmer(value ~ 0 + cell + (1 | patient) + (1 | l), d, control = tight)
    Vi <- vcovCR(mi, cluster = d$patient, type = "CR2"); G <- nlevels(d$group)
    one <- cbind(c(1, 1), c(-1, 0), c(0, -1))
    L <- do.call(rbind, lapply(2:G, function(g) { z <- matrix(0, 2, 3 * G); z[, 1:3] <- one; z[, (3 * g - 2):(3 * g)] <- -one; z }))
    wi <- Wald_test(mi, constraints = L, vcov = Vi, test = "HTZ")
    S <- do.call(rbind, lapply(1:G, function(g) { z <- numeric(3 * G); z[3 * g - 2] <- 1; z[3 * g - 1] <- -1; z }))
    ki <- linear_contrast(mi, vcov = Vi, contrasts = S, test = "Satterthwaite")
    out$interaction <- list(f = wi$Fstat, df1 = wi$df_num, df2 = wi$df_denom, p = wi$p_val,
      groups = levels(d$group), core_less_rim = ki$Est, se = ki$SE, df = ki$df)
  }
  out
}

# Within-subject ANOVA as SPSS's GLM repeated measures: type III, Greenhouse-Geisser, Mauchly.
anova_rm <- function(y, g = NULL) {
  k <- ncol(y); idata <- data.frame(condition = factor(seq_len(k)))
  contrasts(idata$condition) <- contr.sum(k)
  fit <- if (is.null(g)) lm(y ~ 1) else { g <- factor(g); contrasts(g) <- contr.sum(nlevels(g)); lm(y ~ g) }
  s <- summary(Anova(fit, idata = idata, idesign = ~condition, type = 3), multivariate = FALSE)
  u <- s$univariate.tests; a <- s$pval.adjustments; m <- s$sphericity.tests
  take <- function(row) list(f = u[row, "F value"], df1 = u[row, "num Df"], df2 = u[row, "den Df"], p = u[row, "Pr(>F)"],
    epsilon = a[row, "GG eps"], p_corrected = a[row, "Pr(>F[GG])"], w = m[row, "Test statistic"], mauchly_p = m[row, "p-value"])
  out <- list(values = unname(y), condition = take("condition"))
  if (!is.null(g)) { out$groups <- as.character(g); out$interaction <- take("g:condition") }
  out
}
ob <- carData::OBrienKaiser
pre <- as.matrix(ob[, c("pre.1", "pre.2", "pre.3", "pre.4", "pre.5")])
t <- t.test(sleep$extra[sleep$group == 1], sleep$extra[sleep$group == 2], paired = TRUE)

cat(toJSON(list(
  source = paste0(R.version.string, ", lme4 ", packageVersion("lme4"), ", clubSandwich ", packageVersion("clubSandwich"), ", car ", packageVersion("car")),
  mixed = list(one_group = mixed(study(5, 14, 1.2, "a", c(1, .6, 2))),
               three_groups = mixed(study(8, 30, .8, c("a", "b", "c"), c(1, .6, .8))),
               few_patients = mixed(study(11, 6, 1.5, c("a", "b"), c(1, 1, 1)))),
  anova = list(obrien_kaiser_pre = anova_rm(pre, ob$treatment), obrien_kaiser_pre_one_group = anova_rm(pre)),
  sleep = list(first = sleep$extra[sleep$group == 1], second = sleep$extra[sleep$group == 2],
    difference = unname(t$estimate), t = unname(t$statistic), df = unname(t$parameter), p = t$p.value,
    low = t$conf.int[1], high = t$conf.int[2])), digits = NA, auto_unbox = TRUE))
