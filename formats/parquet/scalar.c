/* Values as JSON text. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/parquet/parquet_private.h"
#include "formats/tensors/dtype.h"
#include "runtime/base/json.h"
#include "runtime/base/utf8.h"

enum { DAY = 86400, JULIAN_1970 = 2440588, MAX_DECIMAL_BYTES = 32, MAX_DECIMAL_DIGITS = 80 };

static uint64_t little_endian(parquet_bytes value)
{
    uint64_t number = 0;
    for (uint64_t i = 0; i < value.length && i < 8; i++)
        number |= (uint64_t)value.data[i] << (8 * i);
    return number;
}

/* A signed number of 4 or 8 bytes. */
static int64_t integer(parquet_bytes value)
{
    uint64_t number = little_endian(value);
    return value.length == 4 ? (int32_t)(uint32_t)number : (int64_t)number;
}

static bool append(vkft_text *out, const char *text, vkft_err *err)
{
    return vkft_text_append(out, text, strlen(text), err);
}

/* Python's names for what is no number; JSON as Python writes it. */
static bool write_real(double number, vkft_text *out, vkft_err *err)
{
    char text[40];
    if (isnan(number))
        return append(out, "NaN", err);
    if (isinf(number))
        return append(out, number < 0 ? "-Infinity" : "Infinity", err);
    vkft_float_text(number, text, sizeof text);
    return append(out, text, err);
}

static bool write_float(parquet_bytes value, vkft_text *out, vkft_err *err)
{
    uint64_t bits = little_endian(value);
    double number;
    if (value.length == 4) {
        uint32_t half = (uint32_t)bits;
        float single;
        memcpy(&single, &half, sizeof single);
        number = single;
    } else {
        memcpy(&number, &bits, sizeof number);
    }
    return write_real(number, out, err);
}

/* --- decimals: whole numbers of any length, with a point before the last `scale` digits --------------------------- */

/* Divides the big-endian number by 10 in place; returns the rest. *any: whether something is left. */
static uint32_t divide_by_ten(uint8_t *bytes, size_t count, bool *any)
{
    uint32_t rest = 0;
    *any = false;
    for (size_t i = 0; i < count; i++) {
        uint32_t part = rest << 8 | bytes[i];
        bytes[i] = (uint8_t)(part / 10);
        rest = part % 10;
        *any = *any || bytes[i];
    }
    return rest;
}

static bool write_decimal(const parquet_field *field, parquet_bytes value, vkft_text *out, const char **bad,
                          vkft_err *err)
{
    uint8_t bytes[MAX_DECIMAL_BYTES];
    char text[MAX_DECIMAL_DIGITS + 4];
    size_t n = value.length, at = sizeof text;
    if (n == 0 || n > sizeof bytes) {
        *bad = "a decimal of no bytes, or of more than 32";
        return false;
    }
    bool numbers = field->type == PARQUET_INT32 || field->type == PARQUET_INT64;
    for (size_t i = 0; i < n; i++) /* numbers are little-endian, arrays big-endian */
        bytes[i] = value.data[numbers ? n - 1 - i : i];
    bool negative = bytes[0] & 0x80, any = true;
    for (size_t i = n, carry = 1; negative && i-- > 0;) {
        carry += (uint8_t)~bytes[i];
        bytes[i] = (uint8_t)carry;
        carry >>= 8;
    }
    text[--at] = 0;
    for (int32_t digit = 0; any || digit <= field->scale; digit++) {
        if (digit == field->scale && digit > 0)
            text[--at] = '.';
        text[--at] = (char)('0' + divide_by_ten(bytes, n, &any));
    }
    if (negative)
        text[--at] = '-';
    return append(out, text + at, err);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

/* The day of the Gregorian calendar, from days since 1970 (Hinnant: days from the first of March of year 0, in cycles
 * of 400 years). */
static void write_day(int64_t days, char *text, size_t size)
{
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, day = z - era * 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t of_year = day - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    snprintf(text, size, "%04" PRId64 "-%02d-%02d", year + era * 400 + (month >= 10),
             (int)(month < 10 ? month + 3 : month - 9), (int)(of_year - (153 * month + 2) / 5 + 1));
}

/* "12:34:56", with 6 or 9 digits of a second where it is not a whole one. */
static void write_clock(int64_t seconds, uint32_t nanoseconds, char *text, size_t size)
{
    int n =
        snprintf(text, size, "%02d:%02d:%02d", (int)(seconds / 3600), (int)(seconds / 60 % 60), (int)(seconds % 60));
    if (nanoseconds % 1000)
        snprintf(text + n, size - (size_t)n, ".%09u", nanoseconds);
    else if (nanoseconds)
        snprintf(text + n, size - (size_t)n, ".%06u", nanoseconds / 1000);
}

static bool write_moment(int64_t days, int64_t seconds, uint32_t nanoseconds, bool utc, vkft_text *out, vkft_err *err)
{
    char day[40], clock[40], text[100];
    write_day(days, day, sizeof day);
    write_clock(seconds, nanoseconds, clock, sizeof clock);
    snprintf(text, sizeof text, "\"%sT%s%s\"", day, clock, utc ? "+00:00" : "");
    return append(out, text, err);
}

/* The quotient rounded down, and what remains. */
static int64_t floor_divide(int64_t a, int64_t b, int64_t *rest)
{
    *rest = a % b + (a % b < 0 ? b : 0);
    return a / b - (a % b < 0);
}

static bool write_time(const parquet_field *field, int64_t ticks, vkft_text *out, const char **bad, vkft_err *err)
{
    int64_t rest, seconds = floor_divide(ticks, field->per_second, &rest), of_day;
    int64_t days = floor_divide(seconds, DAY, &of_day);
    uint32_t nanoseconds = (uint32_t)rest * (1000000000u / field->per_second);
    char clock[40], text[50];
    if (field->kind == PARQUET_TIMESTAMP)
        return write_moment(days, of_day, nanoseconds, field->utc, out, err);
    if (days != 0) {
        *bad = "a time of day that is no time of a day";
        return false;
    }
    write_clock(of_day, nanoseconds, clock, sizeof clock);
    snprintf(text, sizeof text, "\"%s\"", clock);
    return append(out, text, err);
}

/* Nanoseconds of the day, then the Julian day. */
static bool write_timestamp96(parquet_bytes value, vkft_text *out, vkft_err *err)
{
    int64_t rest, seconds = floor_divide((int64_t)little_endian(value), 1000000000, &rest), of_day;
    int64_t more = floor_divide(seconds, DAY, &of_day);
    int64_t day = (int32_t)(uint32_t)little_endian((parquet_bytes){value.data + 8, 4});
    return write_moment(day - JULIAN_1970 + more, of_day, (uint32_t)rest, false, out, err);
}

/* --- texts -------------------------------------------------------------------------------------------------------- */

static bool write_uuid(const uint8_t *data, vkft_text *out, vkft_err *err)
{
    char text[40];
    size_t n = 0;
    text[n++] = '"';
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text[n++] = '-';
        n += (size_t)snprintf(text + n, sizeof text - n, "%02x", data[i]);
    }
    text[n++] = '"';
    return vkft_text_append(out, text, n, err);
}

static bool write_text(parquet_bytes value, vkft_text *out, const char **bad, vkft_err *err)
{
    const char *text = value.length ? (const char *)value.data : "";
    if (!vkft_utf8_valid(text, value.length)) {
        *bad = "bytes that are not text in UTF-8";
        return false;
    }
    return vkft_json_write_string(text, value.length, out, err);
}

bool parquet_scalar_write(const parquet_field *field, parquet_bytes value, vkft_text *out, const char **bad,
                          vkft_err *err)
{
    char text[40];
    *bad = NULL;
    switch (field->kind) {
    case PARQUET_BOOL: return append(out, value.data[0] ? "true" : "false", err);
    case PARQUET_INT: snprintf(text, sizeof text, "%" PRId64, integer(value)); return append(out, text, err);
    case PARQUET_UINT: snprintf(text, sizeof text, "%" PRIu64, little_endian(value)); return append(out, text, err);
    case PARQUET_REAL: return write_float(value, out, err);
    case PARQUET_HALF: return write_real(vkft_f16_to_f32((uint16_t)little_endian(value)), out, err);
    case PARQUET_DECIMAL: return write_decimal(field, value, out, bad, err);
    case PARQUET_TIME:
    case PARQUET_TIMESTAMP: return write_time(field, integer(value), out, bad, err);
    case PARQUET_TIMESTAMP96: return write_timestamp96(value, out, err);
    case PARQUET_UUID: return write_uuid(value.data, out, err);
    case PARQUET_DATE:
        text[0] = '"';
        write_day(integer(value), text + 1, sizeof text - 1);
        return append(out, text, err) && append(out, "\"", err);
    default: return write_text(value, out, bad, err);
    }
}
