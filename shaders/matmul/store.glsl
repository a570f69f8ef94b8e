/* The end of a product: Y[at] = R[at] + scale * sum, R when add != 0. Include after ARGS. */
void store(uint at, float sum)
{
    float y = args.scale * sum;
    args.Y.v[at] = args.add != 0 ? args.R.v[at] + y : y;
}
