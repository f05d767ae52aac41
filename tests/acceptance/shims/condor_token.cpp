// HTCondor's own making and checking of IDTOKENs, out of libcondor_utils of the PyPI wheel `htcondor`.
//
//   condor_token key KEY-ID                                the key material, in hexadecimal
//   condor_token generate KEY-ID USER LIFETIME LEVEL...    a token
//   condor_token authenticate LEVEL...                     who a client with a token of SEC_TOKEN_DIRECTORY is to a
//                                                          server, and which of the levels the token leaves it
//   condor_token levels                                    the names of all authorization levels
//
// Configured by _CONDOR_* in the environment. Classes are declared here as the library exports them; their members are
// not, so room is made for them.
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <string>
#include <vector>

namespace classad {
class ClassAd;
}

class CondorError {
 public:
  std::string getFullText(bool lines) const;

 private:
  std::max_align_t members_[64] = {};  // nothing but members that are zero to begin with
};

enum DCpermission : int {};

void config();
const char* PermString(DCpermission level);
bool getTokenSigningKey(const std::string& key_id, std::string& material, CondorError* error);

class Sock {
 public:
  void setPolicyAd(const classad::ClassAd& ad);
  bool isAuthorizationInBoundingSet(const std::string& level) const;
};

class ReliSock : public Sock {
 public:
  ReliSock();
  ~ReliSock();
  bool connect_socketpair(ReliSock& server);

 private:
  std::max_align_t members_[1024];
};

class Condor_Auth_Passwd {
 public:
  static bool generate_token(const std::string& user, const std::string& key_id, const std::vector<std::string>& levels,
                             long lifetime, bool capability, std::string& token, int log_id, CondorError* error,
                             const classad::ClassAd* more_claims);
};

class SecMan {
 public:
  SecMan();
  ~SecMan();
  void UpdateAuthenticationMetadata(classad::ClassAd& ad);

 private:
  std::max_align_t members_[256];
};

class Authentication {
 public:
  explicit Authentication(ReliSock* sock);
  ~Authentication();
  int authenticate(char* address, const char* methods, CondorError* error, int timeout, bool non_blocking);
  int authenticate_continue(CondorError* error, bool non_blocking);
  const char* getFullyQualifiedUser() const;

 private:
  std::max_align_t members_[256];
};

namespace {

constexpr unsigned kDeadline = 20;  // seconds; a client waits for an answer without end
constexpr int kWouldBlock = 2;
CondorError error;

int Failed() {
  std::cerr << error.getFullText(true) << '\n';
  return 1;
}

// What a server says of itself before a client chooses a token: its trust domain, and the ids of its keys.
classad::ClassAd& Announcement() {
  using Make = void (*)(void*);
  using Parse = classad::ClassAd* (*)(void*, const std::string&, bool);
  // of libclassad, which the library brings along, but which is not linked to
  const auto make = reinterpret_cast<Make>(dlsym(RTLD_DEFAULT, "_ZN7classad13ClassAdParserC1Ev"));
  const auto parse = reinterpret_cast<Parse>(
      dlsym(RTLD_DEFAULT, "_ZN7classad13ClassAdParser12ParseClassAdERKNSt7__cxx1112basic_stringIcSt11char_traits"
                          "IcESaIcEEEb"));
  static std::max_align_t parser[64];
  make(parser);
  classad::ClassAd* ad = parse(parser, "[AuthMethods = \"IDTOKENS\"]", true);
  static SecMan security;
  security.UpdateAuthenticationMetadata(*ad);
  return *ad;
}

[[noreturn]] void Client(ReliSock& sock, const classad::ClassAd& announcement) {
  alarm(kDeadline);
  // one that has the pool's keys would make itself a token where none fits
  setenv("_CONDOR_SEC_PASSWORD_DIRECTORY", "/nonexistent", 1);
  setenv("_CONDOR_SEC_TOKEN_POOL_SIGNING_KEY_FILE", "/nonexistent", 1);
  config();
  sock.setPolicyAd(announcement);
  static Authentication authentication(&sock);
  std::string address = "127.0.0.1";
  CondorError ignored;
  _exit(authentication.authenticate(address.data(), "IDTOKENS", &ignored, kDeadline, false) == 1 ? 0 : 1);
}

int Authenticate(const std::vector<std::string>& levels) {
  static ReliSock server;
  static ReliSock client;
  if (!client.connect_socketpair(server)) return 2;
  const classad::ClassAd& announcement = Announcement();
  const pid_t child = fork();
  if (child == 0) Client(client, announcement);
  static Authentication authentication(&server);
  int outcome = authentication.authenticate(nullptr, "IDTOKENS", &error, kDeadline, false);
  while (outcome == kWouldBlock) outcome = authentication.authenticate_continue(&error, false);
  int status = 0;
  waitpid(child, &status, 0);
  if (outcome != 1 || status != 0) return Failed();
  std::cout << authentication.getFullyQualifiedUser() << '\n';
  for (const std::string& level : levels) {
    if (server.isAuthorizationInBoundingSet(level)) std::cout << level << '\n';
  }
  return 0;
}

int Key(const std::string& key_id) {
  std::string material;
  if (!getTokenSigningKey(key_id, material, &error)) return Failed();
  std::cout << std::hex << std::setfill('0');
  for (const unsigned char byte : material) std::cout << std::setw(2) << static_cast<int>(byte);
  return 0;
}

int Generate(const std::vector<std::string>& arguments) {
  const std::vector<std::string> levels(arguments.begin() + 3, arguments.end());
  std::string token;
  const bool made = Condor_Auth_Passwd::generate_token(arguments[1], arguments[0], levels, std::stol(arguments[2]),
                                                       false, token, 0, &error, nullptr);
  if (!made) return Failed();
  std::cout << token;
  return 0;
}

int Levels() {
  for (int number = 0; PermString(static_cast<DCpermission>(number)) != nullptr; ++number) {
    std::cout << PermString(static_cast<DCpermission>(number)) << '\n';
  }
  return 0;
}

int Run(const std::string& command, const std::vector<std::string>& arguments) {
  if (command == "key" && arguments.size() == 1) return Key(arguments[0]);
  if (command == "generate" && arguments.size() >= 3) return Generate(arguments);
  if (command == "authenticate") return Authenticate(arguments);
  if (command == "levels") return Levels();
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  alarm(kDeadline);
  config();
  const int status = Run(argv[1], std::vector<std::string>(argv + 2, argv + argc));
  std::cout.flush();
  _exit(status);  // the destructors of the library's objects are not asked for
}
