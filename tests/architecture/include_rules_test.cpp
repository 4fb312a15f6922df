// Reads the #include lines of every source file against the house plan: which folder may lean on
// which, and which folder alone may know a third-party library. Debian puts all libraries' headers
// in one directory, so CMake cannot confine them.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "tests/catch.h"

namespace {

namespace fs = std::filesystem;

bool StartsWith(const std::string& text, const std::string& beginning) {
  return text.compare(0, beginning.size(), beginning) == 0;
}

bool StartsWithAny(const std::string& text, const std::vector<std::string>& beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(),
                     [&](const auto& b) { return StartsWith(text, b); });
}

// Our folders: each may include itself and these. The first line that fits a file counts.
struct FolderRule {
  std::string folder;
  std::vector<std::string> may_include;
};
const std::vector<FolderRule> kFolderRules = {
    {"common/base/", {}},
    {"common/plan/", {"common/base/"}},
    {"common/model/", {"common/base/"}},
    {"common/metrics/", {"common/base/"}},
    // The page of what images are: the one page here that knows what it shows.
    {"common/report/description_page.", {"common/base/", "common/metrics/", "common/report/"}},
    {"common/report/", {"common/base/"}},
    {"common/crypto/", {"common/base/"}},
    {"common/storage/", {"common/base/"}},
    {"common/privacy/", {"common/base/", "common/model/"}},
    {"common/secagg/", {"common/base/", "common/model/", "common/crypto/"}},
    // The steps of secure aggregation travel as the plain structs of secagg/messages.h.
    {"common/wire/",
     {"common/base/", "common/model/", "common/plan/", "common/metrics/", "common/crypto/",
      "common/secagg/"}},
    // Who a program is: keys, enrolment, and the mutually authenticated channel made from them.
    {"common/identity/", {"common/base/", "common/crypto/", "common/wire/"}},
    // Received instances are named and sent ones remembered by SHA-256.
    {"datasets/pacs/", {"common/base/", "common/storage/", "common/crypto/", "datasets/dicom/"}},
    // Pseudonyms are keyed hashes.
    {"datasets/deidentification/", {"common/base/", "common/crypto/", "datasets/"}},
    // Catalogs hold pseudonyms, and paths under a key of the site's.
    {"datasets/catalog",
     {"common/base/", "common/crypto/", "common/storage/", "common/plan/", "datasets/"}},
    // What a site's images are, as counts that add up across sites.
    {"datasets/description/",
     {"common/base/", "common/metrics/", "common/plan/", "common/report/description_page.h",
      "common/storage/", "datasets/"}},
    // A site's tables, and what its numbers add up to for the federation's preparation.
    {"datasets/tables/", {"common/base/", "common/metrics/", "common/plan/", "datasets/"}},
    {"datasets/", {"common/base/", "common/storage/", "common/plan/"}},
    // The proof that researchers run on a model, run again where the model is used.
    {"site_agent/published_model.",
     {"common/", "datasets/", "site_agent/", "coordinator/researcher/verify_model.h"}},
    {"site_agent/", {"common/", "datasets/"}},
    {"coordinator/", {"common/"}},
    {"experiments/", {"common/", "datasets/", "site_agent/", "coordinator/"}},
    {"tests/", {"common/", "datasets/", "site_agent/", "coordinator/", "experiments/"}},
};
const std::vector<std::string> kOurFolders = {"common/",      "coordinator/", "datasets/",
                                              "experiments/", "site_agent/",  "tests/"};

// Third-party headers, and the only folders that may include them. Tests may include all.
struct LibraryRule {
  std::string library;
  std::vector<std::string> headers;  // beginnings
  std::vector<std::string> folders;
};
const std::vector<LibraryRule> kLibraryRules = {
    {"LibTorch", {"torch/", "ATen/", "c10/", "caffe2/"}, {"site_agent/learning/"}},
    {"DCMTK",
     {"dcmtk/"},
     {"datasets/dicom/", "datasets/deidentification/", "datasets/pacs/", "datasets/results/"}},
    {"cpp-httplib", {"httplib"}, {"datasets/pacs/"}},
    {"OpenJPEG", {"openjpeg"}, {"datasets/dicom/"}},
    {"libsamplerate", {"samplerate"}, {"datasets/audio/"}},
    {"libseccomp", {"seccomp", "linux/seccomp"}, {"datasets/worker/"}},
    {"SQLite", {"sqlite3"}, {"common/storage/"}},
    {"OpenSSL", {"openssl/"}, {"common/crypto/"}},
    {"gRPC and protobuf",
     {"grpc", "google/protobuf/", "common/wire/consilium."},
     {"common/wire/", "common/identity/", "coordinator/", "site_agent/"}},
    {"toml++", {"toml++/"}, {"common/plan/", "site_agent/", "datasets/index_policy"}},
    // Ours, but kept as a library is: the simulated disk stands in for it.
    {"the disk's system calls", {"common/base/file_calls.h"}, {"common/base/file"}},
};

// Kept out of headers altogether: who includes one of ours must not pay for a library.
const std::vector<std::string> kSourceFilesOnly = {
    "torch/",    "sqlite3", "grpc", "google/protobuf/",
    "nlohmann/", "toml++/", "CLI/", "common/wire/consilium.",
    "dcmtk/",    "httplib", "png",  "jpeglib",
    "nifti1_io", "seccomp"};

bool IsOfOpenFolder(const std::string& file) { return StartsWith(file, "tests/"); }

// The faults of one include line in one file, both as paths relative to the repository.
std::vector<std::string> Faults(const std::string& file, const std::string& header) {
  std::vector<std::string> faults;
  for (const LibraryRule& rule : kLibraryRules) {
    if (!IsOfOpenFolder(file) && StartsWithAny(header, rule.headers) &&
        !StartsWithAny(file, rule.folders)) {
      faults.push_back(file + " includes " + header + ": only " + rule.folders.front() +
                       " and its like may know " + rule.library);
    }
  }
  if (!IsOfOpenFolder(file) && fs::path(file).extension() == ".h" &&
      StartsWithAny(header, kSourceFilesOnly)) {
    faults.push_back(file + " includes " + header +
                     ": a third-party header belongs in a .cpp file");
  }
  if (!StartsWithAny(header, kOurFolders)) return faults;
  const auto rule = std::find_if(kFolderRules.begin(), kFolderRules.end(),
                                 [&](const FolderRule& r) { return StartsWith(file, r.folder); });
  if (rule == kFolderRules.end()) {
    faults.push_back(
        file +
        " lies in a folder that the rules do not know: add it to this test and to architecture.md");
  } else if (!StartsWith(header, rule->folder) && !StartsWithAny(header, rule->may_include)) {
    faults.push_back(file + " includes " + header + ": " + rule->folder + " may not lean on it");
  }
  return faults;
}

// What a line includes; empty when it is no include line.
std::string IncludedBy(const std::string& line) {
  std::size_t at = line.find_first_not_of(" \t");
  if (at == std::string::npos || line[at] != '#') return "";
  at = line.find_first_not_of(" \t", at + 1);
  if (at == std::string::npos || line.compare(at, 7, "include") != 0) return "";
  const std::size_t open = line.find_first_of("<\"", at);
  if (open == std::string::npos) return "";
  const std::size_t close = line.find_first_of(">\"", open + 1);
  return close == std::string::npos ? "" : line.substr(open + 1, close - open - 1);
}

fs::path Source() {
  const char* source = std::getenv("CONSILIUM_SOURCE");
  REQUIRE(source != nullptr);
  return source;
}

std::map<std::string, std::vector<std::string>> IncludesOfAllFiles() {
  std::map<std::string, std::vector<std::string>> includes;
  for (const std::string& folder : kOurFolders) {
    for (const auto& entry : fs::recursive_directory_iterator(Source() / folder)) {
      const std::string extension = entry.path().extension();
      if (extension != ".h" && extension != ".cpp") continue;
      std::vector<std::string>& of_file =
          includes[fs::relative(entry.path(), Source()).generic_string()];
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);) {
        if (std::string header = IncludedBy(line); !header.empty())
          of_file.push_back(std::move(header));
      }
    }
  }
  return includes;
}

TEST_CASE("every include line keeps to the house plan") {
  const auto includes = IncludesOfAllFiles();
  CHECK(includes.size() > 100);  // the tree was found
  for (const auto& [file, headers] : includes) {
    for (const std::string& header : headers) {
      for (const std::string& fault : Faults(file, header)) FAIL_CHECK(fault);
    }
  }
}

TEST_CASE("headers of ours are included by their path from the root") {
  for (const auto& [file, headers] : IncludesOfAllFiles()) {
    for (const std::string& header : headers) {
      const bool of_ours =
          StartsWithAny(header, kOurFolders) && !StartsWith(header, "common/wire/consilium.");
      if (of_ours && !fs::exists(Source() / header))
        FAIL_CHECK(file << " includes " << header << ", which is not there");
      if (header.find("../") != std::string::npos) FAIL_CHECK(file << " includes " << header);
      const bool bare = header.find('/') == std::string::npos &&
                        fs::exists((Source() / file).parent_path() / header);
      if (bare) FAIL_CHECK(file << " includes " << header << " without its folder");
    }
  }
}

TEST_CASE("a header begins with #pragma once") {
  for (const auto& [file, headers] : IncludesOfAllFiles()) {
    if (fs::path(file).extension() != ".h") continue;
    std::ifstream stream(Source() / file);
    std::string line;
    while (std::getline(stream, line) && (line.empty() || StartsWith(line, "//"))) {
    }
    if (line != "#pragma once") FAIL_CHECK(file << " does not");
  }
}

TEST_CASE("the rules find what they are there to find") {
  CHECK(Faults("coordinator/a.cpp", "site_agent/agent.h").size() == 1);
  CHECK(Faults("coordinator/a.cpp", "datasets/dataset.h").size() == 1);
  CHECK(Faults("coordinator/a.cpp", "torch/torch.h").size() == 1);
  CHECK(Faults("coordinator/a.cpp", "dcmtk/dcmdata/dctk.h").size() == 1);
  CHECK(Faults("common/base/a.cpp", "common/model/model_state.h").size() == 1);
  CHECK(Faults("common/model/a.cpp", "common/crypto/keys.h").size() == 1);
  CHECK(Faults("common/plan/a.cpp", "common/plan/plan.h").empty());
  CHECK(Faults("site_agent/a.cpp", "ATen/core/Tensor.h").size() == 1);
  CHECK(Faults("site_agent/learning/a.cpp", "ATen/core/Tensor.h").empty());
  CHECK(Faults("site_agent/learning/a.h", "torch/torch.h").size() == 1);
  CHECK(Faults("datasets/a.cpp", "dcmtk/dcmdata/dctk.h").size() == 1);
  CHECK(Faults("datasets/a.cpp", "common/wire/protocol.h").size() == 1);
  CHECK(Faults("datasets/pipeline/a.cpp", "seccomp.h").size() == 1);
  CHECK(Faults("datasets/worker/a.cpp", "seccomp.h").empty());
  CHECK(Faults("common/identity/a.cpp", "sqlite3.h").size() == 1);
  CHECK(Faults("common/model/a.cpp", "common/base/file_calls.h").size() == 1);
  CHECK(Faults("common/base/file.cpp", "common/base/file_calls.h").empty());
  CHECK(Faults("site_agent/a.cpp", "openssl/evp.h").size() == 1);
  CHECK(Faults("experiments/a.cpp", "common/wire/consilium.pb.h").size() == 1);
  CHECK(Faults("coordinator/a.h", "grpcpp/grpcpp.h").size() == 1);
  CHECK(Faults("common/unheard_of/a.cpp", "common/base/ids.h").size() == 1);
  CHECK(Faults("tests/a.cpp", "torch/torch.h").empty());
  CHECK(IncludedBy("  #  include <torch/torch.h>  // why") == "torch/torch.h");
  CHECK(IncludedBy("#include \"common/base/ids.h\"") == "common/base/ids.h");
  CHECK(IncludedBy("// #include \"common/base/ids.h\"").empty());
}

}  // namespace
