/* See line_input.h.
 *
 * The terminal's own line editing is no base for this: on Linux it cuts lines off at 4095 bytes. libedit is given the
 * characters by a function of our own, which decodes UTF-8 whatever the locale says, and in which a signal cannot be
 * missed: it comes while pselect waits, or not at all. Rejected: GNU Readline, whose licence is not ours. */
#include "host/cli/line_input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/interrupt.h"
#include "host/cli/terminal.h"
#include "runtime/base/utf8.h"

#define MAX_LINE_BYTES (64u << 20)

#ifdef _WIN32

#include <io.h>
#include <windows.h>

#else

#include <signal.h>
#include <sys/select.h>
#include <unistd.h>

#ifdef VKFT_HAVE_LIBEDIT
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <wchar.h>
#endif

#endif

struct line_input {
    bool edits;
    const char *prompt;
    char block[1 << 16]; /* what was read and is not part of a line yet */
    size_t at, length;
    bool interrupted, failed;
#ifdef VKFT_HAVE_LIBEDIT
    EditLine *editor;
    HistoryW *history;
    struct sigaction resize_before;
#endif
};

#ifdef _WIN32

bool line_input_has_person(void)
{
    return _isatty(_fileno(stdin)) && _isatty(_fileno(stdout));
}

/* Of a console: it edits whole lines, and gives them in UTF-16. */
static int read_console(HANDLE console, char *block, size_t size)
{
    wchar_t wide[4096];
    DWORD count = 0;
    if (!ReadConsoleW(console, wide, (DWORD)(sizeof wide / sizeof *wide), &count, NULL))
        return -1;
    if (count && wide[0] == 26) /* Ctrl-Z */
        return 0;
    return WideCharToMultiByte(CP_UTF8, 0, wide, (int)count, block, (int)size, NULL, NULL);
}

/* Bytes that came, 0 at the end, -1: see input. */
static long long read_block(line_input *input)
{
    HANDLE console = GetStdHandle(STD_INPUT_HANDLE);
    DWORD mode;
    int n = GetConsoleMode(console, &mode) ? read_console(console, input->block, sizeof input->block)
                                           : _read(_fileno(stdin), input->block, sizeof input->block);
    if (n <= 0 && input->edits)
        Sleep(50); /* the thread that is told of Ctrl-C */
    input->interrupted = interrupt_requested(NULL);
    input->failed = n < 0 && !input->interrupted;
    return input->interrupted ? -1 : n;
}

static bool open_editor(line_input *input)
{
    (void)input;
    return true;
}

static void close_editor(line_input *input)
{
    (void)input;
}

#else

bool line_input_has_person(void)
{
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

/* Static storage, because a signal handler is given no context. */
static volatile sig_atomic_t resized;

/* Waits until there is something to read. false: a request to stop came. on_resized may be NULL. */
static bool wait_for_input(line_input *input, void (*on_resized)(line_input *input))
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
    sigset_t blocked, before;
    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaddset(&blocked, numbers[i]);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    for (int ready = 0; ready <= 0;) {
        if (resized && on_resized)
            on_resized(input);
        resized = 0;
        input->interrupted = interrupt_requested(NULL);
        if (input->interrupted)
            break;
        fd_set set;
        FD_ZERO(&set);
        FD_SET(STDIN_FILENO, &set);
        ready = pselect(STDIN_FILENO + 1, &set, NULL, NULL, NULL, &before);
        if (ready < 0 && errno != EINTR)
            break; /* reading says what is wrong */
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return !input->interrupted;
}

static long long read_block(line_input *input)
{
    ssize_t n = -1;
    while (wait_for_input(input, NULL) && (n = read(STDIN_FILENO, input->block, sizeof input->block)) < 0 &&
           errno == EINTR) {
    }
    if (n < 0 && errno == EIO) /* the terminal is gone */
        n = 0;
    input->failed = n < 0 && !input->interrupted;
    return input->interrupted ? -1 : n;
}

#ifdef VKFT_HAVE_LIBEDIT

static char *get_prompt(EditLine *editor)
{
    line_input *input;
    el_get(editor, EL_CLIENTDATA, &input);
    return (char *)(uintptr_t)input->prompt;
}

static void draw_again(line_input *input)
{
    el_resize(input->editor);
    el_set(input->editor, EL_REFRESH);
}

/* One byte: 1, 0 at the end, -1. */
static int read_byte(line_input *input, char *byte)
{
    ssize_t n = -1;
    while (wait_for_input(input, draw_again) && (n = read(STDIN_FILENO, byte, 1)) < 0 && errno == EINTR) {
    }
    if (n < 0 && !input->interrupted && errno != EIO)
        input->failed = true;
    return n < 0 && errno == EIO && !input->interrupted ? 0 : (int)n;
}

/* Whether these bytes, which are no character yet, may become one. */
static bool may_become_one(const char *bytes, size_t count)
{
    uint8_t first = (uint8_t)bytes[0];
    size_t whole = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 1;
    for (size_t i = 1; i < count; i++)
        if (((uint8_t)bytes[i] & 0xc0) != 0x80)
            return false;
    return count < whole;
}

/* The next character. Bytes that are part of none are left out, as the library's own decoding does. */
static int read_character(EditLine *editor, wchar_t *out)
{
    line_input *input;
    char bytes[4];
    size_t count = 0;
    el_get(editor, EL_CLIENTDATA, &input);
    for (int n; (n = read_byte(input, bytes + count)) > 0;) {
        count++;
        if (count > 1 && vkft_utf8_length(bytes, count) != count && !may_become_one(bytes, count)) {
            bytes[0] = bytes[count - 1]; /* may begin another one */
            count = 1;
        }
        if (vkft_utf8_length(bytes, count) == count) {
            *out = (wchar_t)vkft_utf8_decode(bytes, count);
            return 1;
        }
        if (!may_become_one(bytes, count))
            count = 0;
    }
    return input->interrupted || input->failed ? -1 : 0;
}

/* What is pasted comes between two marks, where the terminal has them ("bracketed paste"). Its lines are one message,
 * and nothing in it is a command of the editor. */
#define PASTES_ARE_MARKED "\x1b[?2004h"
#define PASTES_ARE_PLAIN "\x1b[?2004l"
#define PASTE_BEGINS "\\e[200~"
#define PASTE_ENDS L"\x1b[201~"

/* Room for one more character. */
static bool grow(wchar_t **text, size_t count, size_t *capacity)
{
    if (count < *capacity)
        return true;
    size_t larger = *capacity ? 2 * *capacity : 256;
    wchar_t *grown = realloc(*text, larger * sizeof **text);
    if (!grown)
        return false;
    *text = grown;
    *capacity = larger;
    return true;
}

static unsigned char take_paste(EditLine *editor, wint_t key)
{
    static const wchar_t mark[] = PASTE_ENDS;
    const size_t length = sizeof mark / sizeof *mark - 1;
    wchar_t *text = NULL;
    size_t count = 0, capacity = 0;
    bool whole = false;
    (void)key;
    while (!whole && count < MAX_LINE_BYTES / sizeof *text && grow(&text, count, &capacity) &&
           read_character(editor, text + count) == 1) {
        if (text[count] == L'\r')
            text[count] = L'\n';
        count++;
        whole = count >= length && wmemcmp(text + count - length, mark, length) == 0;
    }
    if (whole)
        text[count - length] = 0;
    bool inserted = whole && (count == length || el_winsertstr(editor, text) == 0);
    free(text);
    return inserted ? CC_REFRESH : CC_ERROR;
}

/* The library prints wide characters by the locale; vkft's text is UTF-8 whatever that is. */
static void use_utf8(void)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0 && !setlocale(LC_CTYPE, "C.UTF-8"))
        setlocale(LC_CTYPE, "en_US.UTF-8");
}

static void on_resize(int number)
{
    (void)number;
    resized = 1;
}

static bool open_editor(line_input *input)
{
    HistEventW event;
    use_utf8();
    input->editor = el_init("vkft", stdin, stdout, stderr);
    input->history = history_winit();
    if (!input->editor || !input->history)
        return false;
    history_w(input->history, &event, H_SETSIZE, 1000);
    history_w(input->history, &event, H_SETUNIQUE, 1);
    el_set(input->editor, EL_CLIENTDATA, input);
    el_set(input->editor, EL_PROMPT, get_prompt);
    el_set(input->editor, EL_EDITOR, "emacs");
    el_set(input->editor, EL_SIGNAL, 0);
    el_set(input->editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(input->editor, EL_BIND, "^W", "ed-delete-prev-word", NULL);
    el_wset(input->editor, EL_HIST, history_w, input->history);
    el_wset(input->editor, EL_GETCFN, read_character);
    el_source(input->editor, NULL);
    /* el_set would copy the texts, and lose the copies */
    el_wset(input->editor, EL_ADDFN, L"vkft-paste", L"Insert what is pasted", take_paste);
    el_set(input->editor, EL_BIND, PASTE_BEGINS, "vkft-paste", NULL);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_resize;
    action.sa_flags = SA_RESTART; /* what is being written is not cut off; pselect returns all the same */
    sigemptyset(&action.sa_mask);
    sigaction(SIGWINCH, &action, &input->resize_before);
    return true;
}

static void close_editor(line_input *input)
{
    if (input->editor) {
        sigaction(SIGWINCH, &input->resize_before, NULL);
        el_end(input->editor);
    }
    if (input->history)
        history_wend(input->history);
}

static bool append_wide(const wchar_t *wide, int count, vkft_text *line, vkft_err *err)
{
    for (int i = 0; i < count; i++) {
        char bytes[4];
        if (!vkft_text_append_within(line, MAX_LINE_BYTES, bytes, vkft_utf8_encode((uint32_t)wide[i], bytes), err))
            return false;
    }
    return true;
}

static line_input_outcome edit_line(line_input *input, vkft_text *line, vkft_err *err)
{
    int count = 0;
    HistEventW event;
    const bool marks = terminal_stdout_is_terminal(); /* and no dumb one */
    if (marks)
        fputs(PASTES_ARE_MARKED, stdout);
    fflush(stdout);
    if (resized)
        el_resize(input->editor);
    resized = 0;
    el_set(input->editor, EL_PREP_TERM, 1); /* before the prompt, for who types as soon as it is there */
    const wchar_t *wide = el_wgets(input->editor, &count);
    if (marks)
        fputs(PASTES_ARE_PLAIN, stdout);
    fflush(stdout);
    if (input->interrupted)
        return LINE_INPUT_INTERRUPTED;
    if (input->failed) {
        vkft_fail_errno(err, "cannot read the terminal");
        return LINE_INPUT_FAILED;
    }
    if (!wide || count <= 0)
        return LINE_INPUT_END;
    if (count > 1)
        history_w(input->history, &event, H_ENTER, wide);
    while (count > 0 && (wide[count - 1] == L'\n' || wide[count - 1] == L'\r'))
        count--;
    return append_wide(wide, count, line, err) && vkft_text_append(line, "", 0, err) ? LINE_INPUT_READ
                                                                                     : LINE_INPUT_FAILED;
}

#else

static bool open_editor(line_input *input)
{
    (void)input;
    return true;
}

static void close_editor(line_input *input)
{
    (void)input;
}

#endif
#endif

line_input *line_input_open(bool edits, vkft_err *err)
{
    line_input *input = calloc(1, sizeof *input);
    if (input) {
        input->edits = edits;
        if (!edits || open_editor(input))
            return input;
    }
    line_input_close(input);
    vkft_fail_memory(err, "for lines of input");
    return NULL;
}

void line_input_close(line_input *input)
{
    if (input && input->edits)
        close_editor(input);
    free(input);
}

/* Moves bytes of the block to the line, up to a newline. *whole: there was one. */
static bool take(line_input *input, vkft_text *line, bool *whole, vkft_err *err)
{
    const char *from = input->block + input->at, *newline = memchr(from, '\n', input->length - input->at);
    size_t count = newline ? (size_t)(newline - from) : input->length - input->at;
    *whole = newline != NULL;
    input->at += count + *whole;
    return vkft_text_append_within(line, MAX_LINE_BYTES, from, count, err);
}

static line_input_outcome read_plain(line_input *input, vkft_text *line, vkft_err *err)
{
    for (bool whole = false; !whole;) {
        if (input->at == input->length) {
            long long n = read_block(input);
            if (input->interrupted)
                return LINE_INPUT_INTERRUPTED;
            if (input->failed) {
                vkft_fail_errno(err, "cannot read standard input");
                return LINE_INPUT_FAILED;
            }
            if (n == 0 && !line->length)
                return LINE_INPUT_END;
            if (n == 0)
                break;
            input->at = 0;
            input->length = (size_t)n;
        }
        if (!take(input, line, &whole, err))
            return LINE_INPUT_FAILED;
    }
    if (line->length && line->data[line->length - 1] == '\r')
        line->data[--line->length] = 0;
    return vkft_text_append(line, "", 0, err) ? LINE_INPUT_READ : LINE_INPUT_FAILED;
}

static bool make_valid(vkft_text *line, vkft_err *err)
{
    vkft_text valid = {0};
    if (memchr(line->data, 0, line->length))
        return vkft_fail(err, VKFT_ERR_INPUT, "standard input: a line has a zero byte in it");
    if (vkft_utf8_valid(line->data, line->length))
        return true;
    if (!vkft_text_append_valid(&valid, line->data, line->length, err)) {
        vkft_text_free(&valid);
        return false;
    }
    vkft_text_free(line);
    *line = valid;
    return true;
}

line_input_outcome line_input_read(line_input *input, const char *prompt, vkft_text *line, vkft_err *err)
{
    line_input_outcome outcome;
    line->length = 0;
    input->prompt = prompt;
#ifdef VKFT_HAVE_LIBEDIT
    if (input->edits)
        outcome = edit_line(input, line, err);
    else
#endif
    {
        if (input->edits) {
            fputs(prompt, stdout);
            fflush(stdout);
        }
        outcome = read_plain(input, line, err);
    }
    return outcome == LINE_INPUT_READ && !make_valid(line, err) ? LINE_INPUT_FAILED : outcome;
}
