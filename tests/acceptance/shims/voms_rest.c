// Loaded into Debian 12's voms-server (LD_PRELOAD), to mend it and to bring it to the loopback address.
//
// It was written for a gSOAP whose HTTP parser calls the handler of GET requests; that of Debian 12 leaves the call to
// a function that voms-server does not use, so every `GET /generate-ac` has an empty reply. It also listens on every
// address, and does not tell the port that the kernel chose.
#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdsoap2.h>

static int (*parse)(struct soap *);

static int parse_and_get(struct soap *soap) {
  int error = parse(soap);
  return error == SOAP_OK && soap->status == SOAP_GET ? soap->fget(soap) : error;
}

struct soap *soap_versioning(soap_new)(soap_mode in, soap_mode out) {
  struct soap *(*original)(soap_mode, soap_mode) = dlsym(RTLD_NEXT, "soap_new_REQUIRE_lib_v208124");
  struct soap *soap = original(in, out);
  parse = soap->fparse;
  soap->fparse = parse_and_get;
  return soap;
}

int bind(int socket, const struct sockaddr *address, socklen_t length) {
  int (*original)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  if (address->sa_family == AF_INET) return original(socket, (struct sockaddr *)&four, sizeof four);
  if (address->sa_family == AF_INET6) return original(socket, (struct sockaddr *)&six, sizeof six);
  return original(socket, address, length);
}

int listen(int socket, int backlog) {
  int (*original)(int, int) = dlsym(RTLD_NEXT, "listen");
  struct sockaddr_in6 own;  // the port is at the same place in both kinds of address
  socklen_t length = sizeof own;
  int error = original(socket, backlog);
  if (error == 0 && getsockname(socket, (struct sockaddr *)&own, &length) == 0)
    fprintf(stderr, "listening on port %d\n", ntohs(own.sin6_port));
  return error;
}
