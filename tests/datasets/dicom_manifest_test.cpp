// The files of the shared test data, against the hashes that other readers agree on.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iostream>

#include "common/crypto/sha256.h"
#include "datasets/dicom/image_file.h"
#include "datasets/dicom/reader.h"
#include "tests/catch.h"
#include "tests/datasets/shared_data.h"
#include "tests/sanitizers.h"

namespace consilium::datasets::dicom {
namespace {

struct Counts {
  int equal = 0, different = 0, readers_disagree = 0, no_pixels_said = 0;
  std::map<std::string, int> refused_of_agreed, refused_of_others;
};

// SHA-256 of all frames' stored values as the manifest computed it: frames, rows, columns, samples,
// little endian.
OrRefused<std::string> PixelHash(const fs::path& path) {
  auto file = ImageFile::Open(path);
  if (!file.ok()) return file.refused();
  Bytes all;
  for (std::uint32_t i = 0; i < file->frame_count(); ++i) {
    const auto frame = file->ReadStored(i);
    if (!frame.ok()) return frame.refused();
    all.insert(all.end(), frame->bytes.begin(), frame->bytes.end());
  }
  return crypto::Sha256(all).Hex();
}

void Compare(const fs::path& folder, const ManifestRow& row, Counts* counts) {
  INFO(row.at("file"));
  const auto hash = PixelHash(folder / row.at("file"));
  const bool agreed = row.at("gdcm_agrees") == "1";
  if (!hash.ok()) {
    const Refused& refused = hash.refused();
    CHECK(refused.reason != Refusal::kNone);
    ++(agreed ? counts->refused_of_agreed
              : counts->refused_of_others)[std::string(Phrase(refused.reason))];
    if (agreed) {
      std::cout << "refused: " << row.at("file") << ": " << Phrase(refused.reason) << ": "
                << refused.detail << "\n";
    }
  } else if (row.at("pixel_sha256").empty()) {
    ++counts->no_pixels_said;
  } else if (*hash == row.at("pixel_sha256")) {
    ++counts->equal;
  } else if (agreed) {
    ++counts->different;
    CHECK(*hash == row.at("pixel_sha256"));
  } else {
    ++counts->readers_disagree;
  }
}

void Print(const Counts& counts) {
  std::cout << "manifest: " << counts.equal << " hashes equal, " << counts.different
            << " different, " << counts.readers_disagree
            << " decoded where the two readers disagree, " << counts.no_pixels_said
            << " decoded where they gave no pixels\n";
  for (const auto& [reason, count] : counts.refused_of_agreed) {
    std::cout << "manifest: " << count << " refused that both read: " << reason << "\n";
  }
  for (const auto& [reason, count] : counts.refused_of_others) {
    std::cout << "manifest: " << count << " refused that not both read: " << reason << "\n";
  }
}

// Reads every file below the folder, in every way, in a child process of `limit` bytes of address
// space; the child's wait status.
int ReadAllInChild(const fs::path& folder, std::uint64_t limit) {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit memory{limit, limit};
    if (!kUnderSanitizer) setrlimit(RLIMIT_AS, &memory);
    alarm(240);
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (!entry.is_regular_file()) continue;
      const auto header = ReadHeader(entry.path());
      const auto image = ReadImage(entry.path());
      if (image.ok() && !header.ok()) _exit(1);  // what decodes has passed the header's checks
      auto file = ImageFile::Open(entry.path());
      if (!file.ok()) continue;
      for (std::uint32_t i = 0; i < file->frame_count(); ++i) {
        (void)file->Describe(i);
        (void)file->ReadModality(i);
        (void)file->ReadOverlays(i);
      }
    }
    _exit(0);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}

}  // namespace

TEST_CASE("Stored pixels have the hashes that two other readers agree on") {
  const auto folder = SharedData("dicom");
  if (!folder) return;
  Counts counts;
  for (const ManifestRow& row : ReadManifest(*folder)) {
    if (fs::exists(*folder / row.at("file"))) Compare(*folder, row, &counts);
  }
  Print(counts);
  CHECK(counts.equal >= 300);
}

TEST_CASE("Hostile files are refused or read within 1 GiB and without a crash") {
  const auto folder = SharedData("dicom/malformed_fuzz");
  if (!folder) return;
  CHECK(ReadAllInChild(*folder, 1ull << 30) == 0);
}

}  // namespace consilium::datasets::dicom
