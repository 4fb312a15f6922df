#include "common/crypto/key_folder.h"
#include "common/crypto/keys.h"
#include "tests/fuzz/fuzz.h"

namespace consilium::crypto {
namespace {

// No message repeats a key's digits.
template <class Loaded>
void CheckMessage(const Loaded& loaded, std::string_view content) {
  const std::size_t digits = content.find('\n') + 1;  // below the line that names the kind
  if (loaded.ok() || content.size() < digits + 32) return;
  for (const std::size_t at : {digits, content.size() - 32}) {
    const std::string_view part = content.substr(at, 32);
    if (part.find_first_not_of("0123456789abcdef") != part.npos) continue;
    FUZZ_EXPECT(!fuzz::Contains(ToStd(loaded.status().message()), part));
  }
}

}  // namespace
}  // namespace consilium::crypto

// First byte: which file of the folder it is; then the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace consilium;
  using namespace consilium::crypto;
  fuzz::Cursor input(fuzz::Input(data, size));
  const std::uint8_t which = input.Byte();
  const ByteView content = input.Rest();
  const fs::path& folder = fuzz::ScratchFolder();
  const fuzz::AllocationLimit limit(fuzz::JustifiedBy(size));
  if (which % 4 == 0) {
    // Without a passphrase to try: parsed, and then asked for.
    fuzz::Scratch("wrapping.json", content);
    PassphraseOptions none;
    none.file = folder / "no-passphrase";
    FUZZ_EXPECT(!KeyFolder::Open(folder, none).ok());
    FUZZ_EXPECT(Remove(folder / "wrapping.json").ok());
    return 0;
  }
  const fs::path file = fuzz::Scratch("signing.key", content);
  const auto bare = LoadPrivateKey(file, "ed25519");
  CheckMessage(bare, AsText(content));
  const auto keys = KeyFolder::Open(folder);
  FUZZ_EXPECT(keys.ok() && !keys->wrapped());
  const auto loaded = keys->Load("signing.key", "ed25519");
  CheckMessage(loaded, AsText(content));
  FUZZ_EXPECT(loaded.ok() == bare.ok());
  if (loaded.ok()) FUZZ_EXPECT(loaded->size() == 32 && loaded->Equals(bare->Reveal()));
  CheckMessage(keys->LoadPem("signing.key"), AsText(content));
  CheckMessage(Passphrase::FromFile(file), AsText(content));
  return 0;
}
