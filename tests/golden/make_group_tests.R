# Golden numbers for tests between groups, agreement and power, from R's stats, lme4 with lmerTest, psych.
#
#   Rscript tests/golden/make_group_tests.R > tests/golden/group_tests.json
#
# Data: R's PlantGrowth, InsectSprays and iris; an unbalanced, heteroscedastic set of five groups with
# several lesions per patient; a small set of three groups; one without spread between patients.
# Games-Howell is written out with ptukey, Dunn and Hedges' g from their formulas, intervals of effect
# sizes with pf and pt and uniroot: base R has none of them.
options(warn = -1)  # pf says that it may lack the last digits
suppressMessages({ library(lme4); library(lmerTest); library(psych); library(jsonlite) })

pairs_of <- function(k) t(combn(k, 2))

solve_nc <- function(cdf, level, upper) {
  f <- function(nc) cdf(nc) - level
  if (f(0) <= 0) return(0)
  uniroot(f, c(0, upper), tol = 1e-12)$root
}

eta <- function(f, df1, df2) {
  nc <- sapply(c(.975, .025), function(l) solve_nc(function(nc) pf(f, df1, df2, nc), l, 10 * f * df1 + 100))
  list(eta = f * df1 / (f * df1 + df2), interval = nc / (nc + df1 + df2 + 1))
}

g_exact <- function(gap, sd, df, n_eff) {
  t <- gap / sd * sqrt(n_eff)
  nc <- sapply(c(.975, .025), function(l)
    uniroot(function(nc) pt(t, df, nc) - l, c(t - 1, t + 1), extendInt = "downX", tol = 1e-12)$root)
  j <- exp(lgamma(df / 2) - lgamma((df - 1) / 2)) / sqrt(df / 2)
  c(j * gap / sd, nc / sqrt(n_eff) * j)
}

flat <- function(y, g) {
  k <- nlevels(g); pr <- pairs_of(k)
  n <- tapply(y, g, length); m <- tapply(y, g, mean); v <- tapply(y, g, var)
  a <- summary(aov(y ~ g))[[1]]
  w <- oneway.test(y ~ g); h <- kruskal.test(y ~ g)
  lev <- function(center) { d <- abs(y - ave(y, g, FUN = center)); unlist(anova(lm(d ~ g))[1, c("F value", "Pr(>F)")], use.names = FALSE) }
  mse <- a[2, 3]; df <- a[2, 1]
  lsd_p <- function(adjust) pairwise.t.test(y, g, p.adjust.method = adjust)$p.value
  of <- function(table) apply(pr, 1, function(p) table[p[2] - 1, p[1]])
  gap <- m[pr[, 1]] - m[pr[, 2]]
  half <- qt(.975, df) * sqrt(mse * (1 / n[pr[, 1]] + 1 / n[pr[, 2]]))
  part <- v / n
  se2 <- part[pr[, 1]] + part[pr[, 2]]
  wdf <- se2^2 / (part[pr[, 1]]^2 / (n[pr[, 1]] - 1) + part[pr[, 2]]^2 / (n[pr[, 2]] - 1))
  r <- rank(y); rm <- tapply(r, g, mean); N <- length(y); ties <- table(y)
  z <- (rm[pr[, 1]] - rm[pr[, 2]]) /
    sqrt((N * (N + 1) / 12 - sum(ties^3 - ties) / (12 * (N - 1))) * (1 / n[pr[, 1]] + 1 / n[pr[, 2]]))
  dunn_p <- 2 * pnorm(-abs(z))
  list(
    anova = list(f = a[1, 4], df = a[, 1], p = a[1, 5], effect = eta(a[1, 4], a[1, 1], a[2, 1])),
    welch = list(f = as.numeric(w$statistic), df = as.numeric(w$parameter), p = w$p.value),
    kruskal = list(h = as.numeric(h$statistic), df = as.numeric(h$parameter), p = h$p.value),
    levene = lev(mean), brown_forsythe = lev(median),
    lsd = list(difference = unname(gap), low = unname(gap - half), high = unname(gap + half),
               p = of(lsd_p("none")), bonferroni = of(lsd_p("bonferroni")), holm = of(lsd_p("holm")),
               hedges = lapply(seq_len(nrow(pr)), function(i) g_exact(gap[[i]], sqrt(mse), df,
                 prod(n[pr[i, ]]) / sum(n[pr[i, ]])))),
    games_howell = list(difference = unname(gap), df = unname(wdf),
      p = unname(ptukey(sqrt(2) * abs(gap) / sqrt(se2), k, wdf, lower.tail = FALSE)),
      low = unname(gap - qtukey(.95, k, wdf) * sqrt(se2 / 2)),
      high = unname(gap + qtukey(.95, k, wdf) * sqrt(se2 / 2)),
      welch_t_p = unname(2 * pt(-abs(gap) / sqrt(se2), wdf))),
    dunn = list(z = unname(z), p = unname(dunn_p), holm = p.adjust(unname(dunn_p), "holm")))
}

mixed <- function(y, g, p) {
  d <- data.frame(y = y, g = g, p = factor(p)); k <- nlevels(g); pr <- pairs_of(k)
  tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12), check.conv.singular = "ignore")
  cell <- suppressMessages(lmer(y ~ 0 + g + (1 | p), d, control = tight))
  L <- cbind(1, -diag(k - 1)); b <- fixef(cell); V <- as.matrix(vcov(cell))
  f <- as.numeric(t(L %*% b) %*% solve(L %*% V %*% t(L), L %*% b)) / (k - 1)
  df2 <- length(unique(p)) - k
  con <- t(apply(pr, 1, function(q) { z <- numeric(k); z[q] <- c(1, -1); z }))
  gap <- as.numeric(con %*% b); se <- sqrt(diag(con %*% V %*% t(con)))
  satterthwaite <- apply(con, 1, function(z) lmerTest::contest1D(cell, z)$df)
  vc <- as.data.frame(VarCorr(cell))$vcov
  list(mean = unname(b), se = unname(sqrt(diag(V))), between = vc[1], residual = vc[2], f = f, df2 = df2,
       p = pf(f, k - 1, df2, lower.tail = FALSE), difference = gap, difference_se = se,
       pair_p = 2 * pt(-abs(gap / se), df2), satterthwaite = satterthwaite,
       satterthwaite_f_df = anova(suppressMessages(lmer(y ~ g + (1 | p), d, control = tight)))$DenDF)
}

# Means of lme4's model, variances of Bell and McCaffrey (2002) from the patients' scatter, in matrices.
robust <- function(y, g, p, between, residual) {
  first <- !duplicated(p); k <- nlevels(g); pr <- pairs_of(k)
  m <- as.numeric(table(factor(p, unique(p)))); z <- as.numeric(tapply(y, factor(p, unique(p)), mean))
  home <- g[first]; mu <- v <- df <- numeric(k)
  for (i in 1:k) {
    here <- home == levels(g)[i]; V <- diag(between + residual / m[here]); w <- 1 / diag(V)
    H <- outer(rep(1, length(w)), w / sum(w)); R <- diag(length(w)) - H
    e <- as.numeric(R %*% z[here]); A <- 1 / sqrt(1 - w / sum(w))
    mu[i] <- sum(w * z[here]) / sum(w); v[i] <- sum((w / sum(w) * A * e)^2)
    B <- t(R) %*% diag((w / sum(w) * A)^2) %*% R %*% V
    df[i] <- sum(diag(B))^2 / sum(diag(B %*% B))
  }
  gap <- mu[pr[, 1]] - mu[pr[, 2]]; s2 <- v[pr[, 1]] + v[pr[, 2]]
  pdf <- s2^2 / (v[pr[, 1]]^2 / df[pr[, 1]] + v[pr[, 2]]^2 / df[pr[, 2]])
  w <- 1 / v; h <- w / sum(w); loss <- sum((1 - h)^2 / df)
  f <- sum(w * (mu - sum(h * mu))^2) / (k - 1) / (1 + 2 * (k - 2) / (k^2 - 1) * loss)
  df2 <- (k^2 - 1) / (3 * loss)
  list(f = f, df2 = df2, p = pf(f, k - 1, df2, lower.tail = FALSE), difference = gap, se = sqrt(s2),
       df = pdf, pair_p = 2 * pt(-abs(gap) / sqrt(s2), pdf))
}

case <- function(y, g, p = NULL) {
  g <- factor(g, unique(g))
  found <- list(values = y, groups = as.character(g), lesions = flat(y, g))
  if (!is.null(p)) {
    first <- !duplicated(p)
    # Rounded, so that means equal on paper are ties for the ranks too.
    means <- round(as.numeric(tapply(y, factor(p, unique(p)), mean)), 12)
    found <- c(found, list(patients = p, patient_means = flat(means, g[first]), mixed = mixed(y, g, p)))
    found$robust <- robust(y, g, p, found$mixed$between, found$mixed$residual)
  }
  found
}

set.seed(11)
clusters <- function(patients, sd_between, sd_within, shift, extra) {
  g <- rep(seq_along(patients), patients); size <- 1 + rpois(length(g), extra[g])
  b <- rnorm(length(g), 0, sd_between[g]); p <- rep(seq_along(g), size)
  list(y = round(30 + shift[g[p]] + b[p] + rnorm(length(p), 0, sd_within[g[p]]), 1),
       g = c("colorectal", "gastric", "pancreatic", "lung", "breast")[g[p]], p = p)
}
five <- clusters(c(14, 8, 11, 9, 5), c(1, 2, 1, 3, 2), c(1, 1.5, 2, 1, 3), c(0, 1, 1, 3, 4), c(1.7, 2.5, .3, .9, 1.2))
three <- clusters(c(3, 4, 3), c(1, 1, 1), c(1, 1, 1), c(0, 1, 2), c(1, 1, 1))
none <- clusters(c(9, 9), c(0, 0), c(1, 1), c(0, 1), c(2, 2))
# Patients more alike than chance would have it: the variance between them is estimated as 0.
none$y <- round(none$y - .9 * (ave(none$y, none$p) - ave(none$y, none$g)), 1)

icc_case <- function(x) {
  r <- ICC(x, lmer = FALSE)$results
  list(ratings = x, form = r$type, icc = r$ICC, f = r$F, df1 = r$df1, df2 = r$df2, p = r$p,
       low = r$`lower bound`, high = r$`upper bound`)
}
shrout_fleiss <- matrix(c(9, 2, 5, 8, 6, 1, 3, 2, 8, 4, 6, 8, 7, 1, 2, 6, 10, 5, 6, 9, 6, 2, 4, 7), 6, byrow = TRUE)
truth <- rnorm(25, 40, 4)
two_readers <- round(cbind(truth + rnorm(25), truth + 1 + rnorm(25)), 2)

power <- list(
  anova = list(groups = 5, n = 20, f = .25, power = power.anova.test(5, 20, between.var = .25^2 * 5 / 4, within.var = 1)$power,
               needed = power.anova.test(5, NULL, between.var = .25^2 * 5 / 4, within.var = 1, power = .8)$n),
  t = list(n = 20, d = .5, power = power.t.test(20, .5, strict = TRUE)$power,
           needed = power.t.test(NULL, .5, power = .8, strict = TRUE)$n))

cat(toJSON(list(
  source = paste0(R.version.string, ", lme4 ", packageVersion("lme4"), ", lmerTest ", packageVersion("lmerTest"), ", psych ", packageVersion("psych")),
  cases = list(plant_growth = case(PlantGrowth$weight, as.character(PlantGrowth$group)),
    insect_sprays = case(InsectSprays$count, as.character(InsectSprays$spray)),
    iris_sepal_width = case(iris$Sepal.Width, as.character(iris$Species)),
    five_clustered = case(five$y, five$g, five$p), three_small = case(three$y, three$g, three$p),
    no_spread_between = case(none$y, none$g, none$p)),
  icc = list(shrout_fleiss = icc_case(shrout_fleiss), two_readers = icc_case(two_readers)),
  power = power), digits = NA, auto_unbox = TRUE))
