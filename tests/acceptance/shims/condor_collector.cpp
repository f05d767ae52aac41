// A collector as far as queries go, on HTCondor's own daemon core out of libcondor_utils of the PyPI wheel `htcondor`:
// its sockets, its security negotiation and authorization, its wire format. The wheel has no condor_collector.
//
//   condor_collector -f
//
// Configured by CONDOR_CONFIG and _CONDOR_* as a daemon named ASKED, so that ASKED_ADDRESS_FILE says when and where it
// listens. ASKED_ADS is the file of ads that it answers from, one in brackets a line, read anew for each query: those
// of a query's type (MyType), for which its constraint holds.
#include <dlfcn.h>

#include <cstddef>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace classad {
class ClassAd;
}

class Stream {
 public:
  int snd_int(int value, int end_of_message);
};

class ReliSock : public Stream {
 public:
  int end_of_message();
};

enum DCpermission : int { kRead = 1 };
enum SubsystemType : long { kDaemon = 11 };

class DaemonCore {
 public:
  int Register_Command(int number, const char* name, std::function<int(int, Stream*)> handler, const char* handler_name,
                       DCpermission level, bool force_authentication, int wait, std::vector<DCpermission>* others);
};

extern DaemonCore* daemonCore;
extern void (*dc_main_init)(int, char**);
extern void (*dc_main_config)();
extern void (*dc_main_shutdown_fast)();
extern void (*dc_main_shutdown_graceful)();

int dc_main(int argc, char** argv);
void DC_Exit(int status, const char* program);
int getCommandNum(const char* name);
bool getClassAd(Stream* stream, classad::ClassAd& ad);
bool IsAConstraintMatch(classad::ClassAd* query, classad::ClassAd* ad);
bool param(std::string& value, const char* name, const char* fallback);
int putClassAd(Stream* stream, const classad::ClassAd& ad);
void set_mySubSystem(const char* name, bool is_trusted, SubsystemType type);

namespace {

const std::map<std::string, std::string> kQueries = {
    {"QUERY_STARTD_ADS", "Machine"}, {"QUERY_SUBMITTOR_ADS", "Submitter"}, {"QUERY_SCHEDD_ADS", "Scheduler"}};

// Of libclassad, which the library brings along, but which is not linked to.
classad::ClassAd* Parse(const std::string& text) {
  using Make = void (*)(void*);
  using ParseAd = classad::ClassAd* (*)(void*, const std::string&, bool);
  static const auto make = reinterpret_cast<Make>(dlsym(RTLD_DEFAULT, "_ZN7classad13ClassAdParserC1Ev"));
  static const auto parse = reinterpret_cast<ParseAd>(
      dlsym(RTLD_DEFAULT, "_ZN7classad13ClassAdParser12ParseClassAdERKNSt7__cxx1112basic_stringIcSt11char_traits"
                          "IcESaIcEEEb"));
  std::max_align_t parser[64] = {};
  make(parser);
  return parse(parser, text, true);  // an ad that a test's process leaks
}

int Answer(const std::string& type, Stream* stream) {
  classad::ClassAd* query = Parse("[]");
  auto* sock = static_cast<ReliSock*>(stream);
  if (!getClassAd(stream, *query) || sock->end_of_message() == 0) return 0;
  std::string path;
  param(path, "ASKED_ADS", nullptr);
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.find("MyType = \"" + type + "\"") == std::string::npos) continue;
    classad::ClassAd* ad = Parse(line);
    if (ad == nullptr || !IsAConstraintMatch(query, ad)) continue;
    if (stream->snd_int(1, 0) == 0 || putClassAd(stream, *ad) == 0) return 0;
  }
  stream->snd_int(0, 1);
  return 1;
}

void Begin(int, char**) {
  for (const auto& [name, type] : kQueries) {
    daemonCore->Register_Command(
        getCommandNum(name.c_str()), name.c_str(), [type = type](int, Stream* stream) { return Answer(type, stream); },
        "Answer", kRead, false, 0, nullptr);
  }
}

void Configure() {}

void End() { DC_Exit(0, nullptr); }

}  // namespace

int main(int argc, char** argv) {
  set_mySubSystem("ASKED", true, kDaemon);
  dc_main_init = Begin;
  dc_main_config = Configure;
  dc_main_shutdown_fast = End;
  dc_main_shutdown_graceful = End;
  return dc_main(argc, argv);
}
