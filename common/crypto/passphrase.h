#pragma once

// The passphrase that wraps a program's private keys, and where it comes from.

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/crypto/secret.h"

namespace consilium::crypto {

// What the command line says about it.
struct PassphraseOptions {
  fs::path file;                  // --passphrase-file; empty: not given
  bool unprotected_keys = false;  // --unprotected-keys: new keys are not wrapped
};

// A passphrase of 12 to 1024 bytes, or the explicit word that there is none. Move-only, as its
// secret is.
class Passphrase {
 public:
  // New keys are then protected by their file mode alone.
  static Passphrase Unprotected() { return Passphrase(); }
  // kInvalidArgument: too short or too long.
  static absl::StatusOr<Passphrase> FromText(ByteView text);
  // The file's first line. kPermissionDenied, with the chmod to run: others may read the file.
  static absl::StatusOr<Passphrase> FromFile(const fs::path& path);

  bool unprotected() const { return text_.size() == 0; }
  const Secret& text() const { return text_; }

 private:
  Passphrase() = default;
  Secret text_;
};

// From the first of: the file named on the command line; the file that $CONSILIUM_PASSPHRASE_FILE
// names; the systemd credential "consilium-passphrase" ($CREDENTIALS_DIRECTORY); a question on the
// terminal, without echo, and for new keys asked twice. --unprotected-keys counts for new keys
// only. kFailedPrecondition, naming the ways, when there is none of them; kInvalidArgument for
// --unprotected-keys together with --passphrase-file.
enum class PassphraseFor { kNewKeys, kOldKeys };
absl::StatusOr<Passphrase> FindPassphrase(const PassphraseOptions& options, PassphraseFor keys);

}  // namespace consilium::crypto
