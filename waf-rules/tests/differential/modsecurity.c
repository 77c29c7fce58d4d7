/*
 * Runs requests through libmodsecurity and prints which rules logged a match.
 *
 * usage: modsecurity RULES.conf < requests > matches
 *
 * A request is a list of texts, each as its length in decimal, a line feed, and that many bytes:
 * method, target, number of header fields, name and value of each, body. The answer is one line with
 * the ids of the rules, in the order in which they matched. Built and fed by main.rs.
 */
#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FIELDS 256
#define MAX_TEXT (64 << 20)

struct text {
    char *bytes;
    size_t length;
};

static void logged(void *unused, const void *message) {
    const char *id = strstr((const char *)message, "[id \"");
    (void)unused;
    if (id != NULL)
        printf("%ld ", strtol(id + 5, NULL, 10));
}

/* 1 if there was one, 0 at the end of the input. */
static int read_text(struct text *text) {
    size_t length;
    if (scanf("%zu", &length) != 1 || length > MAX_TEXT || getchar() != '\n')
        return 0;
    text->bytes = malloc(length + 1);
    if (text->bytes == NULL || fread(text->bytes, 1, length, stdin) != length)
        return 0;
    text->bytes[length] = '\0';
    text->length = length;
    return 1;
}

static void run(ModSecurity *engine, RulesSet *rules, const struct text *method,
                const struct text *target, const struct text *fields, size_t count,
                const struct text *body) {
    Transaction *transaction = msc_new_transaction(engine, rules, NULL);
    size_t index;
    msc_process_connection(transaction, "127.0.0.1", 12345, "127.0.0.1", 80);
    msc_process_uri(transaction, target->bytes, method->bytes, "1.1");
    for (index = 0; index < 2 * count; index += 2)
        msc_add_n_request_header(transaction, (const unsigned char *)fields[index].bytes,
                                 fields[index].length,
                                 (const unsigned char *)fields[index + 1].bytes,
                                 fields[index + 1].length);
    msc_process_request_headers(transaction);
    if (body->length > 0)
        msc_append_request_body(transaction, (const unsigned char *)body->bytes, body->length);
    msc_process_request_body(transaction);
    msc_process_response_headers(transaction, 200, "HTTP/1.1");
    msc_process_response_body(transaction);
    msc_process_logging(transaction);
    msc_transaction_cleanup(transaction);
}

int main(int argc, char **argv) {
    const char *error = NULL;
    ModSecurity *engine = msc_init();
    RulesSet *rules = msc_create_rules_set();
    struct text method, target, number, body;
    static struct text fields[2 * MAX_FIELDS];
    if (argc != 2)
        return 2;
    msc_set_log_cb(engine, logged);
    if (msc_rules_add_file(rules, argv[1], &error) < 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    while (read_text(&method)) {
        size_t count, index;
        if (!read_text(&target) || !read_text(&number))
            return 3;
        count = strtoul(number.bytes, NULL, 10);
        if (count > MAX_FIELDS)
            return 3;
        for (index = 0; index < 2 * count; index++)
            if (!read_text(&fields[index]))
                return 3;
        if (!read_text(&body))
            return 3;
        run(engine, rules, &method, &target, fields, count, &body);
        printf("\n");
        for (index = 0; index < 2 * count; index++)
            free(fields[index].bytes);
        free(method.bytes);
        free(target.bytes);
        free(number.bytes);
        free(body.bytes);
    }
    return 0;
}
