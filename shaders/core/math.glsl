/* exp and log to about one unit in the last place, whatever the driver's own are: Vulkan allows them an error that a training run of
 * a few steps would show. Both are branch-free and exact at 0 and 1.
 *
 * Source: argument reduction after Cody & Waite 1980; Taylor and atanh series, truncated below 1e-8 relative.
 */
float exp_exact(float x)
{
    x = clamp(x, -87.0, 88.0);
    float n = roundEven(x * 1.44269504);
    float r = fma(n, -0.693359375, x);
    r = fma(n, 2.12194440e-4, r);
    float p = fma(r, 1.0 / 5040.0, 1.0 / 720.0);
    p = fma(r, p, 1.0 / 120.0);
    p = fma(r, p, 1.0 / 24.0);
    p = fma(r, p, 1.0 / 6.0);
    p = fma(r, p, 0.5);
    p = fma(r * r, p, r) + 1.0;
    return p * uintBitsToFloat(uint(int(n) + 127) << 23);
}

/* x > 0, normal. */
float log_exact(float x)
{
    uint bits = floatBitsToUint(x);
    int e = int((bits - 0x3f3504f3u) & 0xff800000u) >> 23; /* mantissa in [sqrt(1/2), sqrt(2)) */
    float m = uintBitsToFloat(bits - (uint(e) << 23));
    float s = (m - 1.0) / (m + 1.0), s2 = s * s;
    float p = fma(s2, 2.0 / 11.0, 2.0 / 9.0);
    p = fma(s2, p, 2.0 / 7.0);
    p = fma(s2, p, 2.0 / 5.0);
    p = fma(s2, p, 2.0 / 3.0);
    p = fma(s2 * s, p, 2.0 * s);
    return fma(float(e), 0.693359375, fma(float(e), -2.12194440e-4, p));
}

float sigmoid(float x)
{
    return 1.0 / (1.0 + exp_exact(-x));
}

/* tanh(x); near 0 an odd polynomial, fitted to 3e-9 relative, because 1 - 2/(exp(2x)+1) cancels there. */
float tanh_exact(float x)
{
    float a = abs(x), x2 = x * x;
    float p = fma(x2, -0.00585643, 0.02075748);
    p = fma(x2, p, -0.05376992);
    p = fma(x2, p, 0.13331705);
    p = fma(x2, p, -0.33333284);
    float far = 1.0 - 2.0 / (exp_exact(2.0 * min(a, 40.0)) + 1.0);
    return a < 0.6 ? fma(x * x2, p, x) : (x < 0.0 ? -far : far);
}

/* erf(x): below 1 an odd polynomial, above 1 - exp(polynomial - x^2); both fitted to 1e-8 absolute. */
float erf_exact(float x)
{
    float a = min(abs(x), 4.0), x2 = a * a;
    float near = fma(x2, -9.6735903e-06, 1.1268254e-04);
    near = fma(x2, near, -8.4843964e-04);
    near = fma(x2, near, 5.2210535e-03);
    near = fma(x2, near, -2.6865438e-02);
    near = fma(x2, near, 1.1283783e-01);
    near = fma(x2, near, -3.7612638e-01);
    near = fma(x2, near, 1.1283792) * a;
    float p = fma(a, 1.6140616e-06, -4.5590623e-05);
    p = fma(a, p, 5.9276953e-04);
    p = fma(a, p, -4.7402224e-03);
    p = fma(a, p, 2.6364718e-02);
    p = fma(a, p, -1.0997824e-01);
    p = fma(a, p, 3.6806291e-01);
    p = fma(a, p, -1.1301666);
    p = fma(a, p, 3.0321296e-04);
    float far = 1.0 - exp_exact(p - x2);
    float y = a < 1.0 ? near : far;
    return x < 0.0 ? -y : y;
}

/* The soft cap of a score, and its slope where it gave y. */
float softcapped(float x, float cap)
{
    return cap * tanh_exact(x / cap);
}

float softcap_slope(float y, float cap)
{
    float ratio = y / cap;
    return 1.0 - ratio * ratio;
}
