/* Singular vectors by Golub-Kahan-Lanczos bidiagonalization with full reorthogonalization: a few hundred products with
 * the matrix give the largest ones to the last digits, where a whole decomposition of a large matrix (LAPACK's gesdd)
 * takes minutes and a library. All ends in the small matrices of one-sided Jacobi rotations.
 *
 * Source: Golub & Kahan 1965; Hestenes 1958; Halko, Martinsson & Tropp 2011. Test: test_from_weights
 */
#include "host/trainable/start/decompose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/random.h"
#include "runtime/base/size.h"

#define TWO_PI 6.283185307179586476925
#define TOLERANCE 1e-9 /* of a singular vector's residual, in parts of the largest value */
#define SWEEPS 60u     /* of rotations, at most; they end after some ten */

#define LANES 8u /* sums at a time, so that processors add them side by side */

static double sum_of(const double *sums)
{
    double sum = 0;
    for (uint32_t l = 0; l < LANES; l++)
        sum += sums[l];
    return sum;
}

static double dot(const double *a, const double *b, uint32_t n)
{
    double sums[LANES] = {0};
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (uint32_t l = 0; l < LANES; l++)
            sums[l] += a[i + l] * b[i + l];
    for (; i < n; i++)
        sums[0] += a[i] * b[i];
    return sum_of(sums);
}

static double dot_stored(const float *a, const double *b, uint32_t n)
{
    double sums[LANES] = {0};
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (uint32_t l = 0; l < LANES; l++)
            sums[l] += (double)a[i + l] * b[i + l];
    for (; i < n; i++)
        sums[0] += (double)a[i] * b[i];
    return sum_of(sums);
}

static void add_scaled(double *a, const double *b, double scale, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        a[i] += scale * b[i];
}

static void scale_by(double *a, double scale, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        a[i] *= scale;
}

static void fill_normal(double *x, uint32_t n, uint64_t seed, uint64_t first)
{
    for (uint32_t i = 0; i < n; i++) {
        double u = 1.0 - vkft_random_uniform(seed, VKFT_STREAM_BASIS, 2 * (first + i)),
               v = vkft_random_uniform(seed, VKFT_STREAM_BASIS, 2 * (first + i) + 1);
        x[i] = sqrt(-2.0 * log(u)) * cos(TWO_PI * v);
    }
}

/* The matrix, or its transpose, so that it has as many rows as columns at least. */
typedef struct tall {
    const float *w;
    uint32_t m, n; /* rows and columns as they lie in memory */
    bool transposed;
    uint32_t rows, cols;
} tall;

static tall make_tall(const float *w, uint32_t m, uint32_t n)
{
    bool transposed = m < n;
    return (tall){w, m, n, transposed, transposed ? n : m, transposed ? m : n};
}

/* y = W x, or W^T x, in memory's sense. */
static void apply_stored(const tall *t, bool transposed, const double *x, double *y)
{
    if (transposed)
        memset(y, 0, t->n * sizeof *y);
    for (uint32_t i = 0; i < t->m; i++) {
        const float *row = t->w + (size_t)i * t->n;
        if (transposed) {
            for (uint32_t j = 0; j < t->n; j++)
                y[j] += (double)row[j] * x[i];
            continue;
        }
        y[i] = dot_stored(row, x, t->n);
    }
}

/* y [rows] = the tall matrix times x [cols]; back: y [cols] = its transpose times x [rows]. */
static void apply(const tall *t, bool back, const double *x, double *y)
{
    apply_stored(t, t->transposed != back, x, y);
}

/* x loses what it has along the rows of basis [count,n], twice, so that nothing is left to the last digits; returns
 * what is left of its length. */
static double orthogonalize(double *x, const double *basis, uint32_t count, uint32_t n)
{
    for (int again = 0; again < 2; again++)
        for (uint32_t i = 0; i < count; i++)
            add_scaled(x, basis + (size_t)i * n, -dot(x, basis + (size_t)i * n, n), n);
    return sqrt(dot(x, x, n));
}

/* The next row of an orthonormal basis from what lies there; where no more than `noise` is left, a random one and 0. */
static double extend(double *basis, uint32_t count, uint32_t n, double noise, uint64_t seed)
{
    double *x = basis + (size_t)count * n, length = orthogonalize(x, basis, count, n), left = length;
    for (uint64_t trial = 1; left <= noise && count < n; trial++) {
        length = 0;
        fill_normal(x, n, seed, (trial << 40) + (uint64_t)count * n);
        left = orthogonalize(x, basis, count, n);
        noise = 1e-3;
    }
    if (left > 0)
        scale_by(x, 1 / left, n);
    return length;
}

/* Rotates the rows of x [q,n] until they are at right angles, with the same rotations of j [q,q], which begins as the
 * identity: j is then orthogonal, and x what it was from the left. */
static void rotate_rows(double *x, uint32_t q, uint32_t n, double *j)
{
    memset(j, 0, (size_t)q * q * sizeof *j);
    for (uint32_t i = 0; i < q; i++)
        j[(size_t)i * q + i] = 1;
    bool moved = true;
    for (uint32_t sweep = 0; moved && sweep < SWEEPS; sweep++) {
        moved = false;
        for (uint32_t a = 0; a + 1 < q; a++)
            for (uint32_t b = a + 1; b < q; b++) {
                double *xa = x + (size_t)a * n, *xb = x + (size_t)b * n, *ja = j + (size_t)a * q,
                       *jb = j + (size_t)b * q;
                double aa = dot(xa, xa, n), bb = dot(xb, xb, n), ab = dot(xa, xb, n);
                if (fabs(ab) <= 1e-15 * sqrt(aa * bb) || ab == 0)
                    continue;
                moved = true;
                double zeta = (bb - aa) / (2 * ab), t = copysign(1 / (fabs(zeta) + sqrt(1 + zeta * zeta)), zeta),
                       c = 1 / sqrt(1 + t * t), s = c * t;
                for (uint32_t i = 0; i < n; i++) {
                    double u = xa[i], v = xb[i];
                    xa[i] = c * u - s * v;
                    xb[i] = s * u + c * v;
                }
                for (uint32_t i = 0; i < q; i++) {
                    double u = ja[i], v = jb[i];
                    ja[i] = c * u - s * v;
                    jb[i] = s * u + c * v;
                }
            }
    }
}

/* Which of the rows of x [q,n] are the longest, first to last, and how long they are. */
static void sort_rows(const double *x, uint32_t q, uint32_t n, uint32_t *order, double *length)
{
    for (uint32_t i = 0; i < q; i++) {
        double l = sqrt(dot(x + (size_t)i * n, x + (size_t)i * n, n));
        uint32_t at = i;
        for (; at && length[at - 1] < l; at--) {
            length[at] = length[at - 1];
            order[at] = order[at - 1];
        }
        length[at] = l;
        order[at] = i;
    }
}

static bool allocate(vkft_factors *f, uint32_t m, uint32_t n, uint32_t r)
{
    *f = (vkft_factors){.left = calloc((size_t)m * r, sizeof(double)),
                        .values = calloc(r, sizeof(double)),
                        .right = calloc((size_t)r * n, sizeof(double))};
    return f->left && f->values && f->right;
}

void vkft_factors_free(vkft_factors *f)
{
    free(f->left);
    free(f->values);
    free(f->right);
    *f = (vkft_factors){0};
}

/* Factor number i from its vectors: u [rows] and v [cols] of the tall matrix. */
static void set_factor(const tall *t, vkft_factors *f, uint32_t r, uint32_t i, double value, const double *u,
                       const double *v)
{
    const double *left = t->transposed ? v : u, *right = t->transposed ? u : v;
    f->values[i] = value;
    for (uint32_t k = 0; k < t->m; k++)
        f->left[(size_t)k * r + i] = left[k];
    memcpy(f->right + (size_t)i * t->n, right, t->n * sizeof *right);
}

/* sum_i weights[i] * basis row i; basis [k,n]. */
static void combine(const double *weights, uint32_t k, const double *basis, uint32_t n, double *sum)
{
    memset(sum, 0, n * sizeof *sum);
    for (uint32_t i = 0; i < k; i++)
        add_scaled(sum, basis + (size_t)i * n, weights[i], n);
}

/* Bidiagonalization so far: W V^T = U^T B for k rows of u and v, B's diagonal alpha and above it beta[1...]. beta[k]
 * leads to the next row of v. */
typedef struct lanczos {
    double *u, *v, *alpha, *beta;
    uint32_t k;
} lanczos;

static bool grow(lanczos *l, const tall *t, uint32_t size)
{
    double *u = realloc(l->u, (size_t)size * t->rows * sizeof *u);
    l->u = u ? u : l->u;
    double *v = realloc(l->v, (size_t)(size + 1) * t->cols * sizeof *v);
    l->v = v ? v : l->v;
    double *alpha = realloc(l->alpha, size * sizeof *alpha);
    l->alpha = alpha ? alpha : l->alpha;
    double *beta = realloc(l->beta, (size + 1ull) * sizeof *beta);
    l->beta = beta ? beta : l->beta;
    return u && v && alpha && beta;
}

/* One more row of each; v's is there already. */
static void step(lanczos *l, const tall *t, double noise, uint64_t seed)
{
    uint32_t k = l->k++;
    double *u = l->u + (size_t)k * t->rows, *v = l->v + (size_t)k * t->cols;
    apply(t, false, v, u);
    if (k)
        add_scaled(u, u - t->rows, -l->beta[k], t->rows);
    l->alpha[k] = extend(l->u, k, t->rows, noise, seed);
    apply(t, true, u, v + t->cols);
    add_scaled(v + t->cols, v, -l->alpha[k], t->cols);
    l->beta[k + 1] = k + 1 < t->cols ? extend(l->v, k + 1, t->cols, noise, seed + 1) : 0;
}

/* The factors from k steps; *done: all r are exact enough. */
static bool finish(const lanczos *l, const tall *t, uint32_t r, vkft_factors *f, bool *done)
{
    uint32_t k = l->k, *order = calloc(k, sizeof *order);
    double *x = calloc((size_t)k * k, sizeof *x), *j = calloc((size_t)k * k, sizeof *j),
           *length = calloc(k, sizeof *length), *u = malloc(t->rows * sizeof *u), *v = malloc(t->cols * sizeof *v);
    bool ok = order && x && j && length && u && v;
    if (ok) {
        for (uint32_t i = 0; i < k; i++) {
            x[(size_t)i * k + i] = l->alpha[i];
            if (i + 1 < k)
                x[(size_t)i * k + i + 1] = l->beta[i + 1];
        }
        rotate_rows(x, k, k, j);
        sort_rows(x, k, k, order, length);
        *done = true;
        for (uint32_t i = 0; i < r; i++)
            *done = *done && fabs(l->beta[k] * j[(size_t)order[i] * k + k - 1]) <= TOLERANCE * length[0];
    }
    for (uint32_t i = 0; ok && *done && i < r; i++) {
        double *weights = x + (size_t)order[i] * k;
        combine(j + (size_t)order[i] * k, k, l->u, t->rows, u);
        if (length[i] > 0)
            scale_by(weights, 1 / length[i], k);
        combine(weights, k, l->v, t->cols, v);
        set_factor(t, f, r, i, length[i], u, v);
    }
    free(order);
    free(x);
    free(j);
    free(length);
    free(u);
    free(v);
    return ok;
}

bool vkft_decompose_svd(const float *w, uint32_t m, uint32_t n, uint32_t r, uint64_t seed, vkft_factors *f)
{
    const tall t = make_tall(w, m, n);
    lanczos l = {0};
    double norm = 0;
    for (size_t i = 0; i < (size_t)m * n; i++)
        norm += (double)w[i] * (double)w[i];
    norm = sqrt(norm);
    bool ok = allocate(f, m, n, r), done = norm == 0;
    uint32_t size = min_u32(t.cols, 3 * r + 20);
    if (ok && !done && (ok = grow(&l, &t, size))) {
        memset(l.v, 0, t.cols * sizeof *l.v);
        extend(l.v, 0, t.cols, 0, seed);
        l.beta[0] = 0;
    }
    while (ok && !done) {
        while (l.k < size)
            step(&l, &t, 1e-14 * norm, seed);
        ok = finish(&l, &t, r, f, &done);
        done = done || size == t.cols;
        size = min_u32(t.cols, size + size / 2);
        ok = ok && (done || grow(&l, &t, size));
    }
    free(l.u);
    free(l.v);
    free(l.alpha);
    free(l.beta);
    if (!ok)
        vkft_factors_free(f);
    return ok;
}

/* The rows of x [r,n] as an orthonormal basis of what they span, and of something else where they span less. */
static void make_basis(double *x, uint32_t r, uint32_t n, uint64_t seed)
{
    for (uint32_t i = 0; i < r; i++)
        extend(x, i, n, 1e-14 * sqrt(dot(x + (size_t)i * n, x + (size_t)i * n, n)), seed);
}

bool vkft_decompose_lowrank(const float *w, uint32_t m, uint32_t n, uint32_t r, uint32_t iterations, uint64_t seed,
                            vkft_factors *f)
{
    const tall t = make_tall(w, m, n);
    double *q = malloc((size_t)r * t.rows * sizeof *q), *x = malloc((size_t)r * t.cols * sizeof *x),
           *j = malloc((size_t)r * r * sizeof *j), *length = malloc(r * sizeof *length),
           *u = malloc(t.rows * sizeof *u);
    uint32_t *order = malloc(r * sizeof *order);
    bool ok = allocate(f, m, n, r) && q && x && j && length && u && order;
    if (ok)
        fill_normal(x, r * t.cols, seed, 0);
    for (uint32_t k = 0; ok && k <= iterations; k++) {
        for (uint32_t i = 0; i < r; i++)
            apply(&t, false, x + (size_t)i * t.cols, q + (size_t)i * t.rows);
        make_basis(q, r, t.rows, seed + 1);
        for (uint32_t i = 0; i < r; i++)
            apply(&t, true, q + (size_t)i * t.rows, x + (size_t)i * t.cols);
        if (k < iterations)
            make_basis(x, r, t.cols, seed + 2);
    }
    if (ok) {
        rotate_rows(x, r, t.cols, j);
        sort_rows(x, r, t.cols, order, length);
    }
    for (uint32_t i = 0; ok && i < r; i++) {
        double *v = x + (size_t)order[i] * t.cols;
        combine(j + (size_t)order[i] * r, r, q, t.rows, u);
        if (length[i] > 0)
            scale_by(v, 1 / length[i], t.cols);
        set_factor(&t, f, r, i, length[i], u, v);
    }
    free(q);
    free(x);
    free(j);
    free(length);
    free(u);
    free(order);
    if (!ok)
        vkft_factors_free(f);
    return ok;
}

bool vkft_decompose_qr(const float *w, uint32_t m, uint32_t n, uint32_t r, vkft_factors *f)
{
    const tall t = {.w = w, .m = m, .n = n, .rows = m, .cols = n};
    double *q = malloc((size_t)r * m * sizeof *q);
    bool ok = allocate(f, m, n, r) && q;
    for (uint32_t i = 0; ok && i < r; i++)
        for (uint32_t k = 0; k < m; k++)
            q[(size_t)i * m + k] = (double)w[(size_t)k * n + i];
    if (ok)
        make_basis(q, r, m, 0);
    for (uint32_t i = 0; ok && i < r; i++) {
        f->values[i] = 1;
        for (uint32_t k = 0; k < m; k++)
            f->left[(size_t)k * r + i] = q[(size_t)i * m + k];
        apply(&t, true, q + (size_t)i * m, f->right + (size_t)i * n);
    }
    free(q);
    if (!ok)
        vkft_factors_free(f);
    return ok;
}
