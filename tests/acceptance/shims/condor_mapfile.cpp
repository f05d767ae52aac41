// HTCondor's own reader of CERTIFICATE_MAPFILE, out of libcondor_utils of the PyPI wheel `htcondor`.
//
//   condor_mapfile FILE hash|regex      reads lines "METHOD<TAB>name", prints the account or nothing, a line each
//
// `hash` and `regex` are the two values of CERTIFICATE_MAPFILE_ASSUME_HASH_KEYS. The class is declared here as the
// library exports it; its members are not, so room is made for them.
#include <cstddef>
#include <cstring>
#include <iostream>
#include <string>

class MapFile {
 public:
  MapFile();
  ~MapFile();
  int ParseCanonicalizationFile(const std::string& filename, bool assume_hash, bool allow_include, bool is_prefix);
  int GetCanonicalization(const std::string& method, const std::string& principal, std::string& canonicalization);

 private:
  std::max_align_t members_[256];  // far more than the class has
};

int main(int argc, char** argv) {
  if (argc != 3 || (std::strcmp(argv[2], "hash") != 0 && std::strcmp(argv[2], "regex") != 0)) return 2;
  static MapFile map;
  if (map.ParseCanonicalizationFile(argv[1], std::strcmp(argv[2], "hash") == 0, false, false) != 0) return 1;
  std::string line;
  while (std::getline(std::cin, line)) {
    const std::size_t tab = line.find('\t');
    if (tab == std::string::npos) return 2;
    std::string account;
    if (map.GetCanonicalization(line.substr(0, tab), line.substr(tab + 1), account) != 0) account.clear();
    std::cout << account << '\n';
  }
}
