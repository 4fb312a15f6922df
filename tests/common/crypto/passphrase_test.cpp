#include "common/crypto/passphrase.h"

#include <fcntl.h>
#include <pty.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "common/base/status.h"
#include "tests/catch.h"
#include "tests/common/crypto/temporary_folder.h"
#include "tests/common/says.h"

namespace consilium::crypto {
namespace {

// No source of a passphrase but those that a test sets up: no variables, no terminal.
class NoSources {
 public:
  NoSources() : input_(dup(STDIN_FILENO)) {
    Clear();
    const int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    close(null);
  }
  ~NoSources() {
    Clear();
    dup2(input_, STDIN_FILENO);
    close(input_);
  }

 private:
  static void Clear() {
    unsetenv("CONSILIUM_PASSPHRASE_FILE");
    unsetenv("CREDENTIALS_DIRECTORY");
  }
  int input_;
};

void Set(const char* variable, const fs::path& value) { setenv(variable, value.c_str(), 1); }

fs::path Write(const fs::path& path, std::string_view text) {
  REQUIRE(WriteFileDurably(path, text).ok());
  return path;
}

bool Holds(const absl::StatusOr<Passphrase>& passphrase, std::string_view text) {
  INFO(passphrase.status().message());
  return passphrase.ok() && passphrase->text().Equals(AsBytes(text));
}

TEST_CASE("A passphrase comes from the command line before the environment before systemd") {
  const NoSources none;
  const TemporaryFolder folder;
  REQUIRE(EnsureFolder(folder / "credentials").ok());
  Write(folder / "credentials/consilium-passphrase", "of the credential\n");
  Set("CREDENTIALS_DIRECTORY", folder / "credentials");
  CHECK(Holds(FindPassphrase({}, PassphraseFor::kOldKeys), "of the credential"));
  Set("CONSILIUM_PASSPHRASE_FILE", Write(folder / "variable", "of the variable"));
  CHECK(Holds(FindPassphrase({}, PassphraseFor::kOldKeys), "of the variable"));
  const fs::path line = Write(folder / "line", "of the command line\r\n");
  CHECK(Holds(FindPassphrase({line, false}, PassphraseFor::kNewKeys), "of the command line"));
}

TEST_CASE("Without any source the four ways are named, and for new keys the word for none") {
  const NoSources none;
  const auto old_keys = FindPassphrase({}, PassphraseFor::kOldKeys);
  CHECK(old_keys.status().code() == absl::StatusCode::kFailedPrecondition);
  for (const char* way : {"--passphrase-file", "CONSILIUM_PASSPHRASE_FILE", "consilium-passphrase",
                          "on a terminal"}) {
    CHECK(Says(old_keys.status(), way));
  }
  CHECK_FALSE(Says(old_keys.status(), "--unprotected-keys"));
  CHECK(Says(FindPassphrase({}, PassphraseFor::kNewKeys).status(), "--unprotected-keys"));
}

TEST_CASE("Keys stay unprotected only by the explicit word, which opens no wrapped keys") {
  const NoSources none;
  const TemporaryFolder folder;
  CHECK(FindPassphrase({{}, true}, PassphraseFor::kNewKeys)->unprotected());
  CHECK(FindPassphrase({{}, true}, PassphraseFor::kOldKeys).status().code() ==
        absl::StatusCode::kFailedPrecondition);
  const fs::path file = Write(folder / "words", "correct horse battery");
  CHECK(FindPassphrase({file, true}, PassphraseFor::kNewKeys).status().code() ==
        absl::StatusCode::kInvalidArgument);
}

TEST_CASE("A passphrase file that others may read is refused, but systemd's own modes are taken") {
  const NoSources none;
  const TemporaryFolder folder;
  const fs::path file = Write(folder / "consilium-passphrase", "correct horse battery");
  for (const mode_t mode : {0604, 0640, 0620}) {
    REQUIRE(chmod(file.c_str(), mode) == 0);
    const auto refused = Passphrase::FromFile(file);
    CHECK(refused.status().code() == absl::StatusCode::kPermissionDenied);
    CHECK(Says(refused.status(), "chmod 600"));
  }
  REQUIRE(chmod(file.c_str(), 0440) == 0);
  Set("CREDENTIALS_DIRECTORY", file.parent_path());
  CHECK(Holds(FindPassphrase({}, PassphraseFor::kOldKeys), "correct horse battery"));
}

TEST_CASE("Passphrases that are too short, too long or of two lines are refused and not repeated") {
  const TemporaryFolder folder;
  for (const std::string& text : {std::string("elevenbytes"), std::string(1025, 'x'),
                                  std::string("twelve bytes\nand more")}) {
    const auto refused = Passphrase::FromFile(Write(folder / "words", text));
    CHECK(refused.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_FALSE(Says(refused.status(), text.substr(0, 6)));
  }
  CHECK(Passphrase::FromText(AsBytes("twelve bytes")).ok());
  CHECK(Passphrase::FromFile(folder / "absent").status().code() == absl::StatusCode::kNotFound);
}

struct Dialogue {
  std::string shown;  // on the terminal
  int exit_code = -1;
};

// A process on a terminal of its own that looks for a passphrase, with these keys typed. Exit 0:
// "correct horse battery" was found.
Dialogue Type(PassphraseFor keys, const std::vector<std::string>& lines) {
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
  REQUIRE(child >= 0);
  if (child == 0) {
    const auto found = FindPassphrase({}, keys);
    if (found.ok()) _exit(found->text().Equals(AsBytes("correct horse battery")) ? 0 : 1);
    _exit(2);
  }
  Dialogue dialogue;
  char buffer[256];
  for (const std::string& line : lines) {
    // Each question ends with ": ".
    const std::size_t before = dialogue.shown.size();
    while (dialogue.shown.find(": ", before) == std::string::npos) {
      const ssize_t n = read(terminal, buffer, sizeof buffer);
      if (n <= 0) break;
      dialogue.shown.append(buffer, static_cast<std::size_t>(n));
    }
    REQUIRE(write(terminal, line.data(), line.size()) == static_cast<ssize_t>(line.size()));
  }
  for (ssize_t n; (n = read(terminal, buffer, sizeof buffer)) > 0;) {
    dialogue.shown.append(buffer, static_cast<std::size_t>(n));
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  close(terminal);
  dialogue.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return dialogue;
}

TEST_CASE("On a terminal the passphrase is asked for and does not show") {
  const NoSources none;
  const Dialogue dialogue = Type(PassphraseFor::kOldKeys, {"correct horse battery\r"});
  CHECK(dialogue.exit_code == 0);
  CHECK_THAT(dialogue.shown, ContainsText("passphrase of the private keys: "));
  CHECK(dialogue.shown.find("horse") == std::string::npos);
}

TEST_CASE("Backspace and Ctrl-U mend a passphrase at the terminal, Ctrl-C gives up") {
  const NoSources none;
  CHECK(Type(PassphraseFor::kOldKeys, {"correct horse batte\xc3\xa9\x7fry\r"}).exit_code == 0);
  CHECK(Type(PassphraseFor::kOldKeys, {"wrong start\x15"
                                       "correct horse battery\r"})
            .exit_code == 0);
  CHECK(Type(PassphraseFor::kOldKeys, {"correct horse battery\x03"}).exit_code == 2);
}

TEST_CASE("A new passphrase is asked for twice and must be the same") {
  const NoSources none;
  const std::string words = "correct horse battery\r";
  CHECK(Type(PassphraseFor::kNewKeys, {words, words}).exit_code == 0);
  CHECK(Type(PassphraseFor::kNewKeys, {words, "correct horse staples\r"}).exit_code == 2);
}

}  // namespace
}  // namespace consilium::crypto
