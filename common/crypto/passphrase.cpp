#include "common/crypto/passphrase.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "common/base/status.h"
#include "common/crypto/secret_file.h"

namespace consilium::crypto {
namespace {

constexpr std::size_t kFewestBytes = 12, kMostBytes = 1024;

// systemd.exec(5): a folder that only this service sees.
constexpr char kCredential[] = "consilium-passphrase";

absl::StatusOr<Passphrase> FromGuardedFile(const fs::path& path, GuardedBy guard) {
  ASSIGN_OR_RETURN(const Secret content,
                   ReadSecretFile(path, 2 * kMostBytes, "a passphrase", guard));
  std::string_view text = AsText(content.Reveal());
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.ends_with('\r')) text.remove_suffix(1);
  if (text.find('\n') != std::string_view::npos) {
    return absl::InvalidArgumentError(
        StrCat(path.filename().string(), " holds more than one line: a passphrase is one"));
  }
  auto passphrase = Passphrase::FromText(AsBytes(text));
  if (!passphrase.ok()) return WithContext(passphrase.status(), path.filename().string());
  return passphrase;
}

// The terminal of this process without echo, and without signals from the keyboard, which would
// leave it so.
class QuietTerminal {
 public:
  QuietTerminal() : descriptor_(open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)) {
    quiet_ = descriptor_ >= 0 && tcgetattr(descriptor_, &before_) == 0;
    if (!quiet_) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | ISIG);
    silent.c_cc[VMIN] = 1;
    silent.c_cc[VTIME] = 0;
    quiet_ = tcsetattr(descriptor_, TCSAFLUSH, &silent) == 0;
  }
  QuietTerminal(const QuietTerminal&) = delete;
  QuietTerminal& operator=(const QuietTerminal&) = delete;
  ~QuietTerminal() {
    if (quiet_) tcsetattr(descriptor_, TCSAFLUSH, &before_);
    if (descriptor_ >= 0) close(descriptor_);
  }

  bool quiet() const { return quiet_; }

  absl::Status Say(std::string_view text) const {
    const ssize_t written = write(descriptor_, text.data(), text.size());
    if (written == static_cast<ssize_t>(text.size())) return absl::OkStatus();
    return absl::UnavailableError("cannot write to the terminal");
  }

  // One line, with backspace and Ctrl-U; Ctrl-C gives up.
  absl::StatusOr<Passphrase> Ask(std::string_view question) const {
    RETURN_IF_ERROR(Say(question));
    Secret line(kMostBytes + 1);
    const std::span<std::uint8_t> bytes = line.RevealForWriting();
    std::size_t size = 0;
    while (true) {
      char c = 0;
      const ssize_t got = read(descriptor_, &c, 1);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0 || c == 0x03) {
        RETURN_IF_ERROR(Say("\n"));
        return absl::CancelledError("no passphrase was given");
      }
      if (c == '\n' || c == '\r' || c == 0x04) break;
      if (c == 0x7f || c == '\b') {
        while (size > 0 && (bytes[--size] & 0xc0) == 0x80) {  // all bytes of a UTF-8 character
        }
      } else if (c == 0x15) {
        size = 0;
      } else if (size < bytes.size()) {
        bytes[size++] = static_cast<std::uint8_t>(c);
      }
    }
    RETURN_IF_ERROR(Say("\n"));
    return Passphrase::FromText(line.Reveal().first(size));
  }

 private:
  int descriptor_;
  bool quiet_ = false;
  termios before_{};
};

absl::Status NoPassphrase(PassphraseFor keys) {
  return absl::FailedPreconditionError(StrCat(
      "the private keys need a passphrase, and none is at hand: give --passphrase-file FILE, or "
      "set CONSILIUM_PASSPHRASE_FILE, or give the service the systemd credential "
      "\"consilium-passphrase\", or run the command on a terminal, which asks for it",
      keys == PassphraseFor::kNewKeys
          ? "; to keep the keys protected by their file mode alone, say --unprotected-keys"
          : ""));
}

absl::StatusOr<Passphrase> AskOnTerminal(PassphraseFor keys) {
  // A script whose input is no terminal must not wait for somebody who is not there.
  if (isatty(STDIN_FILENO) != 1) return NoPassphrase(keys);
  const QuietTerminal terminal;
  if (!terminal.quiet()) return NoPassphrase(keys);
  if (keys == PassphraseFor::kOldKeys) return terminal.Ask("passphrase of the private keys: ");
  ASSIGN_OR_RETURN(Passphrase first,
                   terminal.Ask("new passphrase for the private keys (12 bytes or more): "));
  ASSIGN_OR_RETURN(const Passphrase second, terminal.Ask("the same again: "));
  if (!first.text().Equals(second.text().Reveal())) {
    return absl::InvalidArgumentError("the two passphrases differ; run the command again");
  }
  return first;
}

const char* Environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

}  // namespace

absl::StatusOr<Passphrase> Passphrase::FromText(ByteView text) {
  if (text.size() < kFewestBytes || text.size() > kMostBytes) {
    return absl::InvalidArgumentError(StrCat("a passphrase has ", kFewestBytes, " to ", kMostBytes,
                                             " bytes, this one ", text.size()));
  }
  Passphrase passphrase;
  passphrase.text_ = Secret::CopyOf(text);
  return passphrase;
}

absl::StatusOr<Passphrase> Passphrase::FromFile(const fs::path& path) {
  return FromGuardedFile(path, GuardedBy::kFileMode);
}

absl::StatusOr<Passphrase> FindPassphrase(const PassphraseOptions& options, PassphraseFor keys) {
  if (!options.file.empty() && options.unprotected_keys) {
    return absl::InvalidArgumentError(
        "--passphrase-file and --unprotected-keys contradict each other: give one of them");
  }
  if (!options.file.empty()) return Passphrase::FromFile(options.file);
  if (options.unprotected_keys && keys == PassphraseFor::kNewKeys) return Passphrase::Unprotected();
  if (const char* file = Environment("CONSILIUM_PASSPHRASE_FILE")) {
    return Passphrase::FromFile(file);
  }
  if (const char* folder = Environment("CREDENTIALS_DIRECTORY")) {
    auto credential = FromGuardedFile(fs::path(folder) / kCredential, GuardedBy::kItsFolder);
    if (!absl::IsNotFound(credential.status())) return credential;
  }
  return AskOnTerminal(keys);
}

}  // namespace consilium::crypto
