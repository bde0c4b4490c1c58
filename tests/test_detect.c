/* test_detect.c - the residual detectors against their literal definitions in double precision, the
 * official covariance rule, and the text that names a detector in a recipe.
 */
#include "harness.h"

#include "base/rng.h"
#include "detect/residual.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { F = 6, STACK = 3, MAX_B = 40 };

/* x and y of one clip or batch; the residual has a mean and correlated columns. */
typedef struct clip {
    float         x[MAX_B * STACK * F], y[MAX_B * STACK * F];
    asd_residuals r;
} clip;

static void clip_new(clip *c, int64_t B, uint64_t seed)
{
    asd_rng rng;
    asd_rng_init(&rng, seed, ASD_RNG_TEST, asd_rng_hash("detect"), 0);
    for (int64_t i = 0; i < B * STACK; ++i) {
        double shared = asd_rng_normal(&rng);
        for (int f = 0; f < F; ++f) {
            c->x[i * F + f] = (float)(-40 + 10 * asd_rng_normal(&rng));
            c->y[i * F + f] =
                (float)((double)c->x[i * F + f] - 0.3 * f - shared - asd_rng_normal(&rng));
        }
    }
    c->r = (asd_residuals){c->x, c->y, B, STACK, F};
}

static double residual(const clip *c, int64_t row, int f)
{
    return (double)c->x[row * F + f] - (double)c->y[row * F + f];
}

/* --- covariance --- */

/* systems C1, points 2 and 3: rows of each domain of each batch centred by their own mean, summed,
 * divided by (vectors of the domain - 1). */
static void naive_covariance(const clip *batch, unsigned char (*is_target)[MAX_B], int n,
                             double s[2][F][F], int64_t vectors[2])
{
    memset(s, 0, sizeof(double) * 2 * F * F);
    vectors[0] = vectors[1] = 0;
    for (int k = 0; k < n; ++k)
        for (int d = 0; d < 2; ++d) {
            double  mean[F] = {0};
            int64_t rows    = 0;
            for (int64_t i = 0; i < batch[k].r.B * STACK; ++i)
                if (is_target[k][i / STACK] == d) {
                    for (int f = 0; f < F; ++f)
                        mean[f] += residual(&batch[k], i, f);
                    ++rows;
                }
            for (int64_t i = 0; i < batch[k].r.B * STACK; ++i)
                if (is_target[k][i / STACK] == d)
                    for (int f = 0; f < F; ++f)
                        for (int g = 0; g < F; ++g)
                            s[d][f][g] += (residual(&batch[k], i, f) - mean[f] / (double)rows) *
                                          (residual(&batch[k], i, g) - mean[g] / (double)rows);
            vectors[d] += rows / STACK;
        }
    for (int d = 0; d < 2; ++d)
        for (int f = 0; f < F; ++f)
            for (int g = 0; g < F; ++g)
                s[d][f][g] /= (double)(vectors[d] - 1);
}

static void near_matrix(const float *got, double (*want)[F])
{
    double scale = 0;
    for (int f = 0; f < F; ++f)
        scale = fmax(scale, want[f][f]);
    for (int f = 0; f < F; ++f)
        for (int g = 0; g < F; ++g)
            assert_near(got[f * F + g], want[f][g], 3e-6 * scale);
}

static void test_covariance(void **state)
{
    (void)state;
    static const int64_t sizes[] = {40, 17, 1, 40, 5};
    static clip          batch[5];
    unsigned char        is_target[5][MAX_B] = {{0}};
    double               want[2][F][F];
    int64_t              vectors[2];
    float                got[2][F * F];
    asd_residual_cov     cov;
    assert_ok(asd_residual_cov_init(&cov, F, MAX_B * STACK));
    for (int k = 0; k < 5; ++k) {
        clip_new(&batch[k], sizes[k], 100 + (uint64_t)k);
        for (int b = 0; b < sizes[k]; ++b)
            is_target[k][b] = k == 1   ? 0
                              : k == 4 ? 1
                                       : b % 3 == 0; /* one batch of each domain alone */
        asd_residual_cov_add(&cov, &batch[k].r, is_target[k]);
    }
    naive_covariance(batch, is_target, 5, want, vectors);
    assert_int_equal(cov.vectors[0], vectors[0]);
    assert_int_equal(cov.vectors[1], vectors[1]);
    assert_ok(asd_residual_cov_finish(&cov, got[0], got[1]));
    near_matrix(got[0], want[0]);
    near_matrix(got[1], want[1]);
    assert_true(fabs(want[0][0][1] - want[1][0][1]) > 0.05); /* so that a swap would be seen */
    asd_residual_cov_clear(&cov);
    asd_residual_cov_clear(&cov);
}

/* No target vectors: the target's covariance is the source's, bit for bit. One alone has no
 * covariance either (0 / 0 in the official code). Fewer than two source vectors is an error. */
static void test_covariance_few(void **state)
{
    (void)state;
    static clip      batch;
    unsigned char    is_target[MAX_B] = {0};
    float            got[2][F * F];
    asd_residual_cov cov;
    clip_new(&batch, 20, 7);
    for (int targets = 0; targets < 2; ++targets) {
        is_target[0] = (unsigned char)targets;
        assert_ok(asd_residual_cov_init(&cov, F, MAX_B * STACK));
        asd_residual_cov_add(&cov, &batch.r, is_target);
        assert_ok(asd_residual_cov_finish(&cov, got[0], got[1]));
        assert_memory_equal(got[0], got[1], sizeof got[0]);
        assert_true(got[0][0] > 0);
        asd_residual_cov_clear(&cov);
    }
    memset(is_target, 1, sizeof is_target);
    is_target[3] = 0;
    assert_ok(asd_residual_cov_init(&cov, F, MAX_B * STACK));
    asd_residual_cov_add(&cov, &batch.r, is_target);
    assert_fails(asd_residual_cov_finish(&cov, got[0], got[1]), ASD_E_DATA,
                 "1 source vectors, want at least 2");
    asd_residual_cov_clear(&cov);
}

static void test_inverse(void **state)
{
    (void)state;
    enum { N = 33 };
    float   a[N * N];
    double  p[N * N];
    asd_rng r;
    asd_rng_init(&r, 3, ASD_RNG_TEST, 0, 0);
    float b[N * N];
    for (int i = 0; i < N * N; ++i)
        b[i] = (float)asd_rng_normal(&r);
    for (int i = 0; i < N; ++i)
        for (int k = 0; k < N; ++k) {
            double sum = i == k ? 0.1 : 0;
            for (int j = 0; j < N; ++j)
                sum += (double)b[i * N + j] * (double)b[k * N + j];
            a[i * N + k] = (float)sum;
        }
    assert_ok(asd_spd_inverse(a, N, "it", p));
    for (int i = 0; i < N; ++i)
        for (int k = 0; k < N; ++k) {
            double sum = 0;
            for (int j = 0; j < N; ++j)
                sum += p[i * N + j] * (double)a[j * N + k];
            assert_near(sum, i == k, 1e-8);
            assert_true(p[i * N + k] == p[k * N + i]);
        }
}

/* Every way to be without an inverse is an error that names whose covariance it is. */
static void test_inverse_refuses(void **state)
{
    (void)state;
    static const float values[] = {0, -1, NAN, INFINITY, -INFINITY};
    float              a[9];
    double             p[9];
    for (size_t k = 0; k < sizeof values / sizeof *values; ++k) {
        for (int at = 0; at < 3; ++at) {
            for (int i = 0; i < 9; ++i)
                a[i] = i % 4 ? 0 : 1;
            a[4 * at] = values[k];
            assert_fails(asd_spd_inverse(a, 3, "fan, source domain", p), ASD_E_NUMERIC,
                         "fan, source domain: the 3 x 3 covariance");
        }
        assert_fails(asd_spd_inverse(&values[k], 1, "one", p), ASD_E_NUMERIC, "one: the 1 x 1");
    }
    for (int i = 0; i < 9; ++i)
        a[i] = i % 4 ? 0 : 1;
    a[1] = a[3] = NAN; /* off the diagonal */
    assert_fails(asd_spd_inverse(a, 3, "it", p), ASD_E_NUMERIC, "singular");
    for (int i = 0; i < 9; ++i)
        a[i] = 1; /* three columns that say the same */
    assert_fails(asd_spd_inverse(a, 3, "it", p), ASD_E_NUMERIC, "singular");
    a[0] = 1e30f;
    assert_fails(asd_spd_inverse(a, 3, "it", p), ASD_E_NUMERIC, "singular");
    a[0] = 2e-20f; /* small is not singular */
    assert_ok(asd_spd_inverse(a, 1, "it", p));
    assert_near(p[0] * (double)a[0], 1, 1e-12);
}

/* --- scores --- */

static void random_covariance(float *a, uint64_t seed)
{
    static clip      batch;
    unsigned char    is_target[MAX_B] = {0};
    asd_residual_cov cov;
    float            ignored[F * F];
    clip_new(&batch, MAX_B, seed);
    assert_ok(asd_residual_cov_init(&cov, F, MAX_B * STACK));
    asd_residual_cov_add(&cov, &batch.r, is_target);
    assert_ok(asd_residual_cov_finish(&cov, a, ignored));
    asd_residual_cov_clear(&cov);
}

static void new_detector(asd_detector_use *d, const char *text, const float *source,
                         const float *target)
{
    asd_residual_stats stats = {.F = F, .covariance = {source, target}};
    assert_ok(asd_detector_parse(text, d));
    assert_ok(asd_detector_fit(d, &stats, "fan.section_00"));
}

/* systems C1, point 4, as the official code does it: M = E P E' over all rows, mean of all entries
 * (framewise: of its diagonal); the smaller of both domains. */
static double literal_mahalanobis(const clip *c, const float *const covariance[2], int framewise)
{
    int64_t rows = c->r.B * STACK;
    double  best = INFINITY;
    for (int d = 0; d < 2; ++d) {
        double p[F * F], sum = 0;
        assert_ok(asd_spd_inverse(covariance[d], F, "it", p));
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t k = 0; k < rows; ++k) {
                double m = 0;
                for (int f = 0; f < F; ++f)
                    for (int g = 0; g < F; ++g)
                        m += residual(c, i, f) * p[f * F + g] * residual(c, k, g);
                if (!framewise || i == k)
                    sum += m;
            }
        best = fmin(best, sum / (double)(framewise ? rows : rows * rows));
    }
    return best;
}

static void test_scores(void **state)
{
    (void)state;
    static clip      c;
    float            covariance[2][F * F];
    const float     *both[2] = {covariance[0], covariance[1]};
    asd_detector_use d[3];
    int              source_wins = 0, n = 0;
    random_covariance(covariance[0], 1);
    random_covariance(covariance[1], 2);
    new_detector(&d[0], "mse", both[0], both[1]);
    new_detector(&d[1], "selective_mahalanobis", both[0], both[1]);
    new_detector(&d[2], " selective_mahalanobis ( mode = framewise ) ", both[0], both[1]);
    for (uint64_t seed = 10; seed < 40; ++seed, ++n) {
        double  got[3], sum = 0, again;
        int64_t B = 1 + (int64_t)seed % 13;
        clip_new(&c, B, seed);
        for (int k = 0; k < 3; ++k) {
            assert_ok(d[k].detector->score(d[k].state, &c.r, &got[k]));
            assert_ok(d[k].detector->score(d[k].state, &c.r, &again));
            assert_true(got[k] == again);
        }
        for (int64_t i = 0; i < B * STACK; ++i)
            for (int f = 0; f < F; ++f)
                sum += residual(&c, i, f) * residual(&c, i, f);
        assert_near(got[0], sum / (double)(B * STACK * F), 1e-12 * got[0]);
        double official = literal_mahalanobis(&c, both, 0);
        /* residuals are subtracted in fp32: 2^-24 of 40 against a residual of 1 */
        assert_near(got[1], official, 1e-5 * (1 + official));
        assert_near(got[2], literal_mahalanobis(&c, both, 1), 1e-5 * got[2]);
        assert_true(got[2] >= got[1]); /* the mean of a convex form is not below that of the mean */
        const float *source[2] = {both[0], both[0]};
        source_wins += literal_mahalanobis(&c, source, 0) == official;
    }
    assert_true(source_wins > 0 && source_wins < n); /* both domains were the smaller one */
    for (int k = 0; k < 3; ++k)
        asd_detector_clear(&d[k]);
}

/* A perfect reconstruction is 0; a stranger residual is never less strange; repeated rows and their
 * order do not matter. */
static void test_properties(void **state)
{
    (void)state;
    static clip              c, moved;
    float                    covariance[2][F * F];
    static const char *const names[] = {"mse", "selective_mahalanobis",
                                        "selective_mahalanobis(mode=framewise)"};
    random_covariance(covariance[0], 1);
    random_covariance(covariance[1], 2);
    for (int k = 0; k < 3; ++k) {
        asd_detector_use d;
        double           s, t;
        new_detector(&d, names[k], covariance[0], covariance[1]);
        clip_new(&c, 7, 5);
        assert_ok(d.detector->score(d.state, &c.r, &s));
        assert_true(s > 0);
        moved   = c;
        moved.r = (asd_residuals){moved.x, moved.y, 14, STACK, F};
        memcpy(moved.x + 7 * STACK * F, c.x, sizeof(float) * 7 * STACK * F);
        memcpy(moved.y + 7 * STACK * F, c.y, sizeof(float) * 7 * STACK * F);
        assert_ok(d.detector->score(d.state, &moved.r, &t));
        assert_near(t, s, 1e-12 * s);
        for (int i = 0; i < 7; ++i) {
            memcpy(moved.x + (6 - i) * STACK * F, c.x + i * STACK * F, sizeof(float) * STACK * F);
            memcpy(moved.y + (6 - i) * STACK * F, c.y + i * STACK * F, sizeof(float) * STACK * F);
        }
        moved.r.B = 7;
        assert_ok(d.detector->score(d.state, &moved.r, &t));
        assert_near(t, s, 1e-12 * s);
        for (int i = 0; i < 7 * STACK * F; ++i)
            moved.y[i] = 2 * moved.y[i] - moved.x[i]; /* twice the residual */
        assert_ok(d.detector->score(d.state, &moved.r, &t));
        assert_near(t, 4 * s, 1e-4 * s);
        memcpy(moved.y, moved.x, sizeof moved.y);
        assert_ok(d.detector->score(d.state, &moved.r, &t));
        assert_true(t == 0);
        moved.y[4] = NAN; /* must not be hidden by the other domain or by a minimum */
        assert_ok(d.detector->score(d.state, &moved.r, &t));
        assert_false(isfinite(t));
        moved.y[4] = -INFINITY;
        assert_ok(d.detector->score(d.state, &moved.r, &t));
        assert_false(isfinite(t));
        asd_detector_clear(&d);
    }
}

static void test_fit(void **state)
{
    (void)state;
    float              good[F * F], bad[F * F];
    float              mse[3] = {1, 2, 3}, maha[2] = {4, 5};
    asd_detector_use   d;
    const float       *values;
    int64_t            n;
    asd_residual_stats stats = {F, {good, bad}, mse, maha, 3, 2};
    random_covariance(good, 1);
    memcpy(bad, good, sizeof bad);
    for (int i = 0; i < F; ++i)
        bad[i] = bad[i * F] = 0; /* a band that never changes */
    assert_ok(asd_detector_parse("selective_mahalanobis", &d));
    assert_fails(asd_detector_fit(&d, &stats, "fan.section_00"), ASD_E_NUMERIC,
                 "fan.section_00, target domain");
    stats.covariance[1] = good;
    stats.covariance[0] = bad;
    assert_fails(asd_detector_fit(&d, &stats, "fan.section_00"), ASD_E_NUMERIC,
                 "fan.section_00, source domain");
    stats.covariance[0] = good;
    assert_ok(asd_detector_fit(&d, &stats, "fan.section_00"));
    assert_ok(asd_detector_fit(&d, &stats, "valve.section_00")); /* the next machine */
    d.detector->batches(&stats, &values, &n);
    assert_true(values == maha && n == 2);
    asd_detector_clear(&d);
    asd_detector_clear(&d);
    assert_ok(asd_detector_parse("mse", &d));
    d.detector->batches(&stats, &values, &n);
    assert_true(values == mse && n == 3);
    asd_detector_clear(&d);
}

/* --- text --- */

static const struct {
    const char *text, *label, *message;
} texts[] = {
    {"mse", "mse", NULL},
    {"  mse\t", "mse", NULL},
    {"mse()", "mse", NULL},
    {"selective_mahalanobis", "selective_mahalanobis", NULL},
    {"selective_mahalanobis(mode=official)", "selective_mahalanobis", NULL},
    {"selective_mahalanobis( mode = framewise )", "selective_mahalanobis-mode-framewise", NULL},
    {"", NULL, "no detector \"\""},
    {"msee", NULL, "did you mean \"mse\""},
    {"MSE", NULL, "no detector \"MSE\""},
    {"selective_mahalonobis", NULL, "did you mean \"selective_mahalanobis\""},
    {"mse(", NULL, "want key=value at character 5"},
    {"mse)", NULL, "want '(' or the end at character 4"},
    {"mse mse", NULL, "want '(' or the end at character 5"},
    {"mse() x", NULL, "want the end at character 7"},
    {"mse(a=1)", NULL, "mse has no parameter \"a\""},
    {"mse(,)", NULL, "want key=value at character 5"},
    {"selective_mahalanobis(mod=official)", NULL, "did you mean \"mode\""},
    {"selective_mahalanobis(mode)", NULL, "want key=value at character 27"},
    {"selective_mahalanobis(mode=)", NULL, "want a value at character 28"},
    {"selective_mahalanobis(=official)", NULL, "want key=value at character 23"},
    {"selective_mahalanobis(mode=oficial)", NULL, "official"},
    {"selective_mahalanobis(mode=official", NULL, "want ',' or ')' at character 36"},
    {"selective_mahalanobis(mode=official framewise)", NULL, "want ',' or ')' at character 37"},
    {"selective_mahalanobis(mode=official,)", NULL, "want key=value at character 37"},
    {"selective_mahalanobis(mode=framewise,mode=official)", NULL, "mode twice"},
    {"selective_mahalanobis(mode=official,mode=official)", NULL, "mode twice"},
    {"pca(128)", NULL, "pca works on embeddings"},
    {"pca(128,64)", NULL, "want key=value at character 11"},
    {"knn(1) | mse", NULL, "knn works on embeddings"},
};

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
        asd_detector_use d;
        asd_status       st = asd_detector_parse(texts[i].text, &d);
        if (texts[i].label && (st || strcmp(d.label, texts[i].label)))
            fail_msg("\"%s\": %s, label \"%s\", want \"%s\"", texts[i].text,
                     st ? asd_error_text() : "ok", d.label, texts[i].label);
        if (!texts[i].label && (st != ASD_E_CONFIG || !strstr(asd_error_text(), texts[i].message)))
            fail_msg("\"%s\": %s \"%s\", want \"%s\"", texts[i].text, asd_status_name(st),
                     st ? asd_error_text() : "", texts[i].message);
        asd_detector_clear(&d);
    }
    char             text[5000];
    asd_detector_use d;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_fails(asd_detector_parse(text, &d), ASD_E_CONFIG, "no detector");
    asd_detector_clear(&d);
    memcpy(text, "selective_mahalanobis(mode=", 27);
    assert_fails(asd_detector_parse(text, &d), ASD_E_CONFIG, "mode");
    asd_detector_clear(&d);
}

/* A detector that parses has a label that is a plain folder name. */
static void test_mutants(void **state)
{
    (void)state;
    static const char letters[] = "mse()=,_ -./\\|\"x1\xff\n\t";
    asd_rng           r;
    int               parsed = 0;
    asd_rng_init(&r, 8, ASD_RNG_TEST, 0, 0);
    for (int k = 0; k < 20000; ++k) {
        char             text[80] = "selective_mahalanobis(mode=framewise)";
        asd_detector_use d;
        size_t           n = strlen(text);
        for (uint32_t edits = asd_rng_below(&r, 4); edits; --edits) {
            size_t at = asd_rng_below(&r, (uint32_t)n);
            switch (asd_rng_below(&r, 3)) {
            case 0: text[at] = letters[asd_rng_below(&r, sizeof letters - 1)]; break;
            case 1:
                memmove(text + at + 1, text + at, n - at + 1);
                text[at] = letters[asd_rng_below(&r, sizeof letters - 1)];
                ++n;
                break;
            default: memmove(text + at, text + at + 1, n - at); --n;
            }
        }
        if (!asd_detector_parse(text, &d)) {
            ++parsed;
            assert_true(strspn(d.label, "abcdefghijklmnopqrstuvwxyz_-") == strlen(d.label));
        }
        asd_detector_clear(&d);
    }
    assert_true(parsed > 4000 && parsed < 16000);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("detect/covariance/official-rule", test_covariance),
    ASD_CASE("detect/covariance/few-vectors", test_covariance_few),
    ASD_CASE("detect/inverse/product", test_inverse),
    ASD_CASE("detect/inverse/refuses", test_inverse_refuses),
    ASD_CASE("detect/score/literal-definition", test_scores),
    ASD_CASE("detect/score/properties", test_properties),
    ASD_CASE("detect/fit/names-machine-and-domain", test_fit),
    ASD_CASE("detect/text/every-form", test_texts),
    ASD_CASE("detect/text/mutants", test_mutants),
};

ASD_TEST_MAIN(cases)
