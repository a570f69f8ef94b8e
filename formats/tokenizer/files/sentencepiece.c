/* A reader of sentencepiece_model.proto. See sentencepiece.h. */
#include "formats/tokenizer/files/sentencepiece.h"

#include <stdlib.h>
#include <string.h>

/* Field numbers. */
enum { MODEL_PIECES = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_KIND = 3 };
enum { TRAINER_MODEL_TYPE = 3, TRAINER_BYTE_FALLBACK = 35 };
enum { NORMALIZER_CHARSMAP = 2, NORMALIZER_ADD_DUMMY_PREFIX = 3 };

/* Bytes of a message, and where it stands in the file. */
typedef struct message {
    const uint8_t *data;
    size_t length, at, offset;
    const char *file;
    vkft_err *err;
} message;

typedef struct field {
    uint32_t number, type; /* type: 0 varint, 1 eight bytes, 2 bytes, 5 four bytes */
    uint64_t value;        /* varint, or the bits */
    const uint8_t *data;   /* bytes */
    size_t length, offset; /* of the bytes in the file */
} field;

static bool damaged(const message *m, const char *what)
{
    return vkft_fail(m->err, VKFT_ERR_INPUT, "%s: byte %zu: %s; expected a SentencePiece model", m->file,
                     m->offset + m->at, what);
}

static bool read_varint(message *m, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (m->at >= m->length)
            return damaged(m, "the data ends inside a number");
        uint8_t byte = m->data[m->at++];
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return damaged(m, "a number is longer than 64 bits");
}

static bool read_field(message *m, field *f)
{
    uint64_t tag, length;
    if (!read_varint(m, &tag))
        return false;
    *f = (field){.number = (uint32_t)(tag >> 3), .type = tag & 7};
    switch (f->type) {
    case 0: return read_varint(m, &f->value);
    case 1: length = 8; break;
    case 5: length = 4; break;
    case 2:
        if (!read_varint(m, &length))
            return false;
        break;
    default: return damaged(m, "a field of unknown type");
    }
    if (length > m->length - m->at)
        return damaged(m, "a field goes beyond the end");
    f->data = m->data + m->at;
    f->length = (size_t)length;
    f->offset = m->offset + m->at;
    for (size_t i = 0; f->type != 2 && i < length; i++)
        f->value |= (uint64_t)f->data[i] << 8 * i;
    m->at += f->length;
    return true;
}

static message inner(const message *m, const field *f)
{
    return (message){.data = f->data, .length = f->length, .offset = f->offset, .file = m->file, .err = m->err};
}

static bool read_piece(message m, vkft_sentencepiece *sp)
{
    if (sp->count == sp->capacity) {
        uint32_t capacity = sp->capacity ? 2 * sp->capacity : 1024;
        struct vkft_sp_piece *pieces = realloc(sp->pieces, capacity * sizeof *pieces);
        if (!pieces)
            return vkft_fail_memory(m.err, "for the tokenizer: %s", m.file);
        sp->pieces = pieces;
        sp->capacity = capacity;
    }
    struct vkft_sp_piece *piece = &sp->pieces[sp->count++];
    *piece = (struct vkft_sp_piece){.kind = VKFT_SP_NORMAL};
    while (m.at < m.length) {
        field f;
        if (!read_field(&m, &f))
            return false;
        if (f.number == PIECE_TEXT && f.type == 2) {
            free(piece->text);
            piece->text = malloc(f.length + 1);
            if (!piece->text)
                return vkft_fail_memory(m.err, "for the tokenizer: %s", m.file);
            memcpy(piece->text, f.data, f.length);
            piece->text[f.length] = 0;
        } else if (f.number == PIECE_SCORE && f.type == 5) {
            float score;
            uint32_t bits = (uint32_t)f.value;
            memcpy(&score, &bits, sizeof score);
            piece->score = score;
        } else if (f.number == PIECE_KIND && f.type == 0) {
            piece->kind = (uint32_t)f.value;
        }
    }
    return piece->text ? true : damaged(&m, "a piece without text");
}

static bool read_trainer(message m, vkft_sentencepiece *sp)
{
    while (m.at < m.length) {
        field f;
        if (!read_field(&m, &f))
            return false;
        if (f.number == TRAINER_MODEL_TYPE && f.type == 0)
            sp->model = (uint32_t)f.value;
        else if (f.number == TRAINER_BYTE_FALLBACK && f.type == 0)
            sp->byte_fallback = f.value != 0;
    }
    return true;
}

static bool read_normalizer(message m, vkft_sentencepiece *sp)
{
    while (m.at < m.length) {
        field f;
        if (!read_field(&m, &f))
            return false;
        if (f.number == NORMALIZER_CHARSMAP && f.type == 2 && f.length) {
            sp->charsmap = f.data;
            sp->charsmap_length = f.length;
        } else if (f.number == NORMALIZER_ADD_DUMMY_PREFIX && f.type == 0) {
            sp->add_dummy_prefix = f.value != 0;
        }
    }
    return true;
}

static bool read_model(message m, vkft_sentencepiece *sp)
{
    while (m.at < m.length) {
        field f;
        if (!read_field(&m, &f))
            return false;
        bool ok = f.type != 2 || (f.number == MODEL_PIECES       ? read_piece(inner(&m, &f), sp)
                                  : f.number == MODEL_TRAINER    ? read_trainer(inner(&m, &f), sp)
                                  : f.number == MODEL_NORMALIZER ? read_normalizer(inner(&m, &f), sp)
                                                                 : true);
        if (!ok)
            return false;
    }
    if (sp->count == 0)
        return damaged(&m, "no pieces found");
    if (sp->model != VKFT_SP_UNIGRAM && sp->model != VKFT_SP_BPE)
        return vkft_fail(m.err, VKFT_ERR_INPUT,
                         "%s: a SentencePiece model of type %u is not supported; supported are Unigram (1) and BPE (2)",
                         m.file, sp->model);
    return true;
}

bool vkft_sentencepiece_read(const uint8_t *data, size_t length, const char *file, vkft_sentencepiece *sp,
                             vkft_err *err)
{
    message m = {.data = data, .length = length, .file = file, .err = err};
    *sp = (vkft_sentencepiece){.model = VKFT_SP_UNIGRAM, .add_dummy_prefix = true};
    if (read_model(m, sp))
        return true;
    vkft_sentencepiece_free(sp);
    return false;
}

void vkft_sentencepiece_free(vkft_sentencepiece *sp)
{
    for (uint32_t i = 0; i < sp->count; i++)
        free(sp->pieces[i].text);
    free(sp->pieces);
    *sp = (vkft_sentencepiece){0};
}
