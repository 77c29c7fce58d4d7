/* CPU time a request costs libmodsecurity. Usage: cost RULES.conf REQUESTS_FOLDER ROUNDS (see ../README.md). */
#define _GNU_SOURCE
#include <dirent.h>
#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_REQUEST = 1 << 20, MAX_HEADERS = 64 };

typedef struct {
  char text[MAX_REQUEST];
  char *method, *target, *body;
  char *names[MAX_HEADERS], *values[MAX_HEADERS];
  int headers;
} Request;

static void ignore_log(void *data, const void *message) { (void)data, (void)message; }

static void fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why ? why : "failed");
  exit(1);
}

/* Cuts the request in place: every line ends in CR LF, an empty one stands before the body. */
static void read_request(const char *folder, const char *name, Request *request) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "rb");
  if (!file) fail(path, "cannot be read");
  size_t length = fread(request->text, 1, MAX_REQUEST - 1, file);
  fclose(file);
  request->text[length] = 0;
  char *end = strstr(request->text, "\r\n\r\n");
  if (!end) fail(path, "is not a request");
  *end = 0;
  request->body = end + 4;
  char *rest, *line = request->text;
  char *next = strstr(line, "\r\n");
  *next = 0;
  request->method = strtok_r(line, " ", &rest);
  request->target = strtok_r(NULL, " ", &rest);
  request->headers = 0;
  for (line = next + 2; line && *line && request->headers < MAX_HEADERS; line = next) {
    if ((next = strstr(line, "\r\n"))) *next = 0, next += 2;
    char *colon = strstr(line, ": ");
    if (!colon) fail(path, "has a line that is no header");
    *colon = 0;
    request->names[request->headers] = line;
    request->values[request->headers++] = colon + 2;
  }
}

static int intervenes(Transaction *transaction) {
  ModSecurityIntervention asked = {.status = 200};
  int disruptive = msc_intervention(transaction, &asked);
  free(asked.log);
  free(asked.url);
  return disruptive;
}

/* One exchange through all phases; 1 if it was refused. */
static int exchange(ModSecurity *engine, RulesSet *rules, Request *request) {
  Transaction *transaction = msc_new_transaction(engine, rules, NULL);
  msc_process_connection(transaction, "127.0.0.1", 12345, "127.0.0.1", 80);
  msc_process_uri(transaction, request->target, request->method, "1.1");
  for (int i = 0; i < request->headers; i++)
    msc_add_request_header(transaction, (unsigned char *)request->names[i], (unsigned char *)request->values[i]);
  msc_process_request_headers(transaction);
  int refused = intervenes(transaction);
  if (!refused) {
    if (*request->body)
      msc_append_request_body(transaction, (unsigned char *)request->body, strlen(request->body));
    msc_process_request_body(transaction);
    refused = intervenes(transaction);
  }
  if (!refused) {
    msc_add_response_header(transaction, (unsigned char *)"Content-Type", (unsigned char *)"text/html; charset=utf-8");
    msc_process_response_headers(transaction, 200, "HTTP/1.1");
    refused = intervenes(transaction);
  }
  if (!refused) {
    msc_process_response_body(transaction);
    refused = intervenes(transaction);
  }
  msc_process_logging(transaction);
  msc_transaction_cleanup(transaction);
  return refused;
}

static double cpu_microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static int is_request(const struct dirent *entry) {
  const char *dot = strrchr(entry->d_name, '.');
  return dot && !strcmp(dot, ".http");
}

int main(int count, char **arguments) {
  if (count != 4) fail("usage", "cost RULES.conf REQUESTS_FOLDER ROUNDS");
  int rounds = atoi(arguments[3]);
  const char *error = NULL;
  ModSecurity *engine = msc_init();
  msc_set_connector_info(engine, "cost");
  msc_set_log_cb(engine, ignore_log);
  RulesSet *rules = msc_create_rules_set();
  if (msc_rules_add_file(rules, arguments[1], &error) < 0) fail(arguments[1], error);
  struct dirent **files;
  int found = scandir(arguments[2], &files, is_request, alphasort);
  if (found <= 0) fail(arguments[2], "holds no requests");
  static Request request;
  for (int i = 0; i < found; i++) {
    read_request(arguments[2], files[i]->d_name, &request);
    int refused = exchange(engine, rules, &request);
    double before = cpu_microseconds();
    for (int round = 0; round < rounds; round++) exchange(engine, rules, &request);
    *strrchr(files[i]->d_name, '.') = 0;
    printf("%s blocked=%d cpu_us=%.2f\n", files[i]->d_name, refused, (cpu_microseconds() - before) / rounds);
  }
}
