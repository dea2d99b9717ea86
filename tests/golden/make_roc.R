# Golden numbers for ROC analysis, from pROC (Robin et al., BMC Bioinformatics 2011; 12: 77) and from a
# literal double loop over the formulas of Obuchowski, Biometrics 1997; 53: 567-578.
#
#   Rscript tests/golden/make_roc.R > tests/golden/roc.json
#
# Data: pROC's aSAH (Turck et al., Intensive Care Med 2010; 36: 107-115), R's iris, integers with many
# ties, an unbalanced set, and a clustered set in which some patients have lesions of both groups.
suppressMessages({ library(pROC); library(jsonlite) })

curve <- function(positive, negative, direction = "<") {
  suppressMessages(roc(controls = negative, cases = positive, direction = direction, quiet = TRUE))
}

one <- function(positive, negative) {
  r <- curve(positive, negative)
  best <- suppressWarnings(coords(r, "best", best.method = "youden", transpose = FALSE))
  best <- best[best$specificity == max(best$specificity), ]
  logit <- function(p) log(p / (1 - p))
  a <- as.numeric(auc(r)); v <- var(r, method = "delong")
  list(positive = positive, negative = negative, auc = a, variance = v,
       ci = as.numeric(ci.auc(r, method = "delong"))[c(1, 3)],
       # pROC has no logit interval: the same variance on the log odds.
       ci_logit = plogis(logit(a) + c(-1, 1) * qnorm(.975) * sqrt(v) / (a * (1 - a))),
       n_points = nrow(coords(r, "all", transpose = FALSE)),
       youden = list(cutoff = best$threshold, sensitivity = best$sensitivity,
                     specificity = best$specificity))
}

paired <- function(pa, na, pb, nb) {
  a <- curve(pa, na); b <- curve(pb, nb)
  t <- roc.test(a, b, method = "delong", paired = TRUE)
  u <- roc.test(a, b, method = "delong", paired = FALSE)
  list(positive_a = pa, negative_a = na, positive_b = pb, negative_b = nb,
       auc = c(as.numeric(auc(a)), as.numeric(auc(b))), covariance = cov(a, b),
       z = as.numeric(t$statistic), p = t$p.value,
       # pROC compares unpaired areas with a t distribution; the statistic is the same.
       unpaired_statistic = as.numeric(u$statistic))
}

data(aSAH)
poor <- aSAH$outcome == "Poor"
wfns <- as.numeric(aSAH$wfns)
versicolor <- iris[iris$Species == "versicolor", 1:4]
virginica <- iris[iris$Species == "virginica", 1:4]

set.seed(20)
ties <- list(positive = sample(2:6, 31, TRUE), negative = sample(1:5, 26, TRUE))
unbalanced <- list(positive = round(rnorm(7, 1.1), 3), negative = round(rnorm(241, 0, 1.4), 3))

kernel <- function(x, y) if (x > y) 1 else if (x == y) 0.5 else 0

clustered <- function(x, positive, patient) {
  # x: lesions by parameters
  patients <- unique(patient); I <- length(patients)
  M <- sum(positive); N <- sum(!positive)
  I10 <- length(unique(patient[positive])); I01 <- length(unique(patient[!positive]))
  K <- ncol(x); auc <- numeric(K); D10 <- matrix(0, K, I); D01 <- matrix(0, K, I)
  for (k in 1:K) {
    X <- x[positive, k]; Y <- x[!positive, k]
    total <- 0; for (a in X) for (b in Y) total <- total + kernel(a, b)
    auc[k] <- total / (M * N)
    for (i in 1:I) {
      for (a in x[positive & patient == patients[i], k]) {
        s <- 0; for (b in Y) s <- s + kernel(a, b)
        D10[k, i] <- D10[k, i] + s / N - auc[k]
      }
      for (b in x[!positive & patient == patients[i], k]) {
        s <- 0; for (a in X) s <- s + kernel(a, b)
        D01[k, i] <- D01[k, i] + s / M - auc[k]
      }
    }
  }
  V <- matrix(0, K, K)
  for (r in 1:K) for (s in 1:K) {
    S10 <- I10 / ((I10 - 1) * M) * sum(D10[r, ] * D10[s, ])
    S01 <- I01 / ((I01 - 1) * N) * sum(D01[r, ] * D01[s, ])
    S11rs <- I / (I - 1) * sum(D10[r, ] * D01[s, ]); S11sr <- I / (I - 1) * sum(D10[s, ] * D01[r, ])
    V[r, s] <- S10 / M + S01 / N + (S11rs + S11sr) / (M * N)
  }
  list(values = unname(t(x)), positive = positive, patient = patient, auc = auc, covariance = V)
}

scene <- function(n_patients, both) {
  size <- sample(1:5, n_patients, TRUE); patient <- rep(seq_len(n_patients), size)
  group <- rep(runif(n_patients) < 0.5, size)
  if (both) group <- ifelse(patient %% 3 == 0, runif(length(patient)) < 0.5, group)
  shift <- rnorm(n_patients)[patient]
  x <- cbind(round(shift + rnorm(length(patient)) + group, 1),
             round(0.7 * shift + rnorm(length(patient)) + 0.5 * group, 1))
  clustered(x, group, patient)
}

predicted <- plogis(round(rnorm(60, 0.2, 1.6), 3))
happened <- runif(60) < plogis(0.6 * qlogis(predicted) - 0.4)
calibration <- list(
  predicted = predicted, happened = happened,
  intercept = unname(coef(glm(happened ~ offset(qlogis(predicted)), family = binomial,
                              control = list(epsilon = 1e-14)))),
  slope = unname(coef(glm(happened ~ qlogis(predicted), family = binomial,
                          control = list(epsilon = 1e-14)))[2]))

out <- list(
  source = paste("pROC", packageVersion("pROC"), "on", R.version.string),
  single = list(
    asah_s100b = one(aSAH$s100b[poor], aSAH$s100b[!poor]),
    asah_ndka = one(aSAH$ndka[poor], aSAH$ndka[!poor]),
    asah_wfns = one(wfns[poor], wfns[!poor]),
    iris_sepal_length = one(virginica$Sepal.Length, versicolor$Sepal.Length),
    iris_sepal_width = one(virginica$Sepal.Width, versicolor$Sepal.Width),
    iris_petal_width = one(virginica$Petal.Width, versicolor$Petal.Width),
    tied_integers = one(ties$positive, ties$negative),
    unbalanced = one(unbalanced$positive, unbalanced$negative)),
  paired = list(
    asah_s100b_ndka = paired(aSAH$s100b[poor], aSAH$s100b[!poor], aSAH$ndka[poor], aSAH$ndka[!poor]),
    asah_wfns_s100b = paired(wfns[poor], wfns[!poor], aSAH$s100b[poor], aSAH$s100b[!poor]),
    iris_sepal = paired(virginica$Sepal.Length, versicolor$Sepal.Length,
                        virginica$Sepal.Width, versicolor$Sepal.Width)),
  calibration = calibration,
  clustered = list(no_shared_patient = scene(24, FALSE), shared_patients = scene(30, TRUE)))
cat(toJSON(out, digits = NA, auto_unbox = TRUE), "\n")
