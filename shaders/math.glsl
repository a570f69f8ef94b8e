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
