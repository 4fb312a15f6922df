#include "coordinator/researcher/model_commands.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/base/text_table.h"
#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"
#include "coordinator/researcher/model_card.h"
#include "coordinator/researcher/research_channel.h"
#include "coordinator/researcher/verify_model.h"

namespace consilium::researcher {
namespace {

using nlohmann::json;

void Print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);  // before what may be said on standard error
}

fs::path RecordBeside(const fs::path& model) {
  fs::path path = model;
  return path.replace_extension(".record.json");
}

fs::path LogBeside(const fs::path& model) {
  fs::path path = model;
  return path.replace_extension(".log.json");
}

// Public, so that no passphrase is asked for.
absl::StatusOr<crypto::Ed25519PublicKey> RootKey(const CommandOptions& options,
                                                 const std::string& given) {
  std::string text = given;
  if (given.empty()) {
    auto pinned = ReadTextFile(options.state / "keys" / "root.pub", 4096);
    if (!pinned.ok()) {
      return absl::NotFoundError(
          "no key to verify with: give --root (the federation's root.pub, or its 64 hexadecimal "
          "digits), or --state with the folder you enrolled in");
    }
    text = *pinned;
  } else if (std::error_code ignored; fs::exists(given, ignored)) {
    ASSIGN_OR_RETURN(text, ReadTextFile(given, 4096));
  }
  text.erase(text.find_last_not_of(" \n") + 1);
  const auto bytes = FromHex(text);
  crypto::Ed25519PublicKey key;
  if (!bytes.ok() || bytes->size() != key.size()) {
    return absl::InvalidArgumentError(
        "the root key is not 64 hexadecimal digits, nor a file that holds them");
  }
  std::copy(bytes->begin(), bytes->end(), key.begin());
  return key;
}

absl::Status ToStatus(const Verification& verification) {
  if (verification.ok()) return absl::OkStatus();
  return absl::UnauthenticatedError(StrCat("NOT verified. The ", verification.Broken()));
}

// A line for each link of the proof.
std::string InWords(const Verification& verification) {
  std::string text;
  for (const Check& check : verification.checks) {
    absl::StrAppendFormat(&text, "  %-6s  %-14s %s\n", check.ok ? "ok" : "BROKEN", check.link,
                          check.finding);
  }
  return text;
}

json ToJson(const Verification& verification) {
  json checks = json::array();
  for (const Check& check : verification.checks) {
    checks.push_back({{"link", check.link}, {"ok", check.ok}, {"finding", check.finding}});
  }
  return {{"verified", verification.ok()}, {"checks", std::move(checks)}};
}

absl::StatusOr<std::optional<std::string>> ReadIfThere(const fs::path& path, bool must) {
  std::error_code ignored;
  if (!must && !fs::exists(path, ignored)) return std::optional<std::string>();
  ASSIGN_OR_RETURN(std::string text, ReadTextFile(path, 256 << 20));
  return std::optional<std::string>(std::move(text));
}

// What the record says, a line each.
std::string RecordInWords(const json& record) {
  std::string text;
  const auto add = [&](std::string_view label, const char* key) {
    const auto found = record.find(key);
    if (found == record.end() || found->is_null()) return;
    StrAppend(&text, "  ", label,
              std::string(std::max<int>(1, 16 - static_cast<int>(label.size())), ' '),
              found->is_string() ? found->get<std::string>() : found->dump(), "\n");
  };
  add("federation", "federation");
  add("plan", "plan");
  add("run", "run");
  add("round", "round");
  add("trained from", "parent");
  add("sites", "sites");
  add("published", "created");
  return text;
}

}  // namespace

absl::Status ListModelsCommand(const CommandOptions& options) {
  ASSIGN_OR_RETURN(identity::Identity identity,
                   identity::LoadIdentity(options.state, options.passphrase));
  ResearchChannel channel(std::move(identity));
  ASSIGN_OR_RETURN(std::string answer, channel.ListModels());
  const json models = json::parse(answer, nullptr, /*allow_exceptions=*/false);
  if (!models.is_array()) return absl::DataLossError("the coordinator's answer is not a JSON list");
  if (options.json) {
    Print(models.dump(2) + "\n");
    return absl::OkStatus();
  }
  TextTable table({"model", "stage", "run", "round", "parameters", "created"});
  for (const json& model : models) {
    const auto text = [&](const char* key) {
      const auto found = model.find(key);
      if (found == model.end() || found->is_null()) return std::string("-");
      return found->is_string() ? found->get<std::string>() : found->dump();
    };
    table.AddRow({text("model").substr(0, 12), text("stage"), text("run"), text("round"),
                  text("parameters"), text("created")});
  }
  Print(models.empty() ? "no models yet\n" : table.ToString());
  return absl::OkStatus();
}

absl::Status FetchCommand(const CommandOptions& options, const std::string& model,
                          const fs::path& out) {
  ASSIGN_OR_RETURN(identity::Identity identity,
                   identity::LoadIdentity(options.state, options.passphrase));
  const crypto::Ed25519PublicKey root = identity.root;
  ResearchChannel channel(std::move(identity));
  ASSIGN_OR_RETURN(FetchedRecord record, channel.Record(model));
  ASSIGN_OR_RETURN(const std::string log, channel.Log(0));
  RETURN_IF_ERROR(ToStatus(VerifyModel(root, record.model, record.record_json, log)));
  TerminalProgress progress;
  RETURN_IF_ERROR(channel.Download(record.model, out, progress));
  const fs::path record_path = RecordBeside(out), log_path = LogBeside(out);
  RETURN_IF_ERROR(WriteFileDurably(record_path, record.record_json));
  RETURN_IF_ERROR(WriteFileDurably(log_path, log));
  if (options.json) {
    Print(json{{"model", record.model.Hex()},
               {"file", out.string()},
               {"record", record_path.string()},
               {"log", log_path.string()}}
              .dump() +
          "\n");
  } else {
    Print(StrCat("model   ", record.model.Hex(), "\nfile    ", out.string(), "\nrecord  ",
                 record_path.string(), "\nlog     ", log_path.string(),
                 "\nverify  consilium model verify ", out.string(), "\n"));
  }
  return absl::OkStatus();
}

namespace {

// What the model's file, its record and, where it is there, the log prove together.
struct Proof {
  Digest model;
  bool with_log = false;
  Verification verification;
};
absl::StatusOr<Proof> Prove(const CommandOptions& options, const VerifyOptions& verify) {
  ASSIGN_OR_RETURN(const crypto::Ed25519PublicKey root, RootKey(options, verify.root));
  ASSIGN_OR_RETURN(const Digest actual, crypto::Sha256OfFile(verify.model));
  ASSIGN_OR_RETURN(
      const std::string record,
      ReadTextFile(verify.record.empty() ? RecordBeside(verify.model) : verify.record, 16 << 20));
  ASSIGN_OR_RETURN(const std::optional<std::string> log,
                   ReadIfThere(verify.log.empty() ? LogBeside(verify.model) : verify.log,
                               /*must=*/!verify.log.empty()));
  return Proof{actual, log.has_value(), VerifyModel(root, actual, record, log)};
}

}  // namespace

absl::Status VerifyCommand(const CommandOptions& options, const VerifyOptions& verify) {
  ASSIGN_OR_RETURN(const Proof proof, Prove(options, verify));
  const Digest& actual = proof.model;
  const Verification& verification = proof.verification;
  if (!verification.ok()) {
    Print(options.json ? ToJson(verification).dump(2) + "\n" : InWords(verification));
    return ToStatus(verification);
  }
  ASSIGN_OR_RETURN(File file, File::OpenForReading(verify.model));
  ASSIGN_OR_RETURN(SafetensorsHeader header, ReadSafetensorsHeader(file));
  const std::uint64_t parameters = TotalElements(header.layout);
  const json document = json::parse(verification.record_json);
  if (options.json) {
    json answer = ToJson(verification);
    answer["model"] = actual.Hex();
    answer["parameters"] = parameters;
    answer["record"] = document;
    Print(answer.dump(2) + "\n");
    return absl::OkStatus();
  }
  Print(StrCat("verified: ", actual.Hex(), "\n", InWords(verification), RecordInWords(document),
               "  parameters      ", parameters, " in ", header.layout.size(), " tensors\n",
               "This proves that the file is, byte for byte, the model that this federation's "
               "coordinator published,\nfrom a plan that its researcher signed, with the "
               "contributions of the sites named, as the log",
               proof.with_log ? " shows" : " would show (--log)",
               ".\nIt does not prove that the sites' images were right, nor that the model is fit "
               "for a patient.\n"));
  return absl::OkStatus();
}

absl::Status CardCommand(const CommandOptions& options, const CardOptions& card) {
  ASSIGN_OR_RETURN(const Proof proof, Prove(options, card.verify));
  RETURN_IF_ERROR(ToStatus(proof.verification));
  std::optional<std::string> plan;
  if (!card.plan.empty()) {
    ASSIGN_OR_RETURN(plan, ReadTextFile(card.plan, 1 << 20));
  }
  std::vector<SiteResult> results;
  for (const fs::path& file : card.results) {
    ASSIGN_OR_RETURN(std::string text, ReadTextFile(file, 64 << 20));
    results.push_back({file.stem().string(), std::move(text)});
  }
  ASSIGN_OR_RETURN(const report::Document document,
                   ModelCard(proof.verification.record_json, plan, results));
  fs::path markdown = card.out;
  markdown.replace_extension(".md");
  if (markdown == card.out) {
    return absl::InvalidArgumentError("--out is the card's HTML file; its Markdown goes beside it");
  }
  RETURN_IF_ERROR(WriteFileDurably(card.out, document.Html()));
  RETURN_IF_ERROR(WriteFileDurably(markdown, document.Markdown()));
  Print(options.json
            ? json{{"html", card.out.string()}, {"markdown", markdown.string()}}.dump() + "\n"
            : StrCat(card.out.string(), "\n", markdown.string(), "\n"));
  return absl::OkStatus();
}

absl::Status FetchLogCommand(const CommandOptions& options, const fs::path& out) {
  ASSIGN_OR_RETURN(identity::Identity identity,
                   identity::LoadIdentity(options.state, options.passphrase));
  ResearchChannel channel(std::move(identity));
  ASSIGN_OR_RETURN(const std::string log, channel.Log(0));
  RETURN_IF_ERROR(WriteFileDurably(out, log));
  const std::size_t entries = json::parse(log)["entries"].size();
  Print(options.json ? json{{"file", out.string()}, {"entries", entries}}.dump() + "\n"
                     : StrCat(entries, " entries in ", out.string(),
                              "\nverify  consilium log verify ", out.string(), "\n"));
  return absl::OkStatus();
}

absl::Status VerifyLogCommand(const CommandOptions& options, const fs::path& log,
                              const std::string& root_text, const fs::path& roster) {
  ASSIGN_OR_RETURN(const crypto::Ed25519PublicKey root, RootKey(options, root_text));
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(log, 256 << 20));
  const fs::path pinned = options.state / "keys" / "roster.json";
  ASSIGN_OR_RETURN(const std::optional<std::string> roster_file,
                   ReadIfThere(roster.empty() ? pinned : roster, /*must=*/!roster.empty()));
  const Verification verification = VerifyLog(root, text, roster_file);
  Print(options.json ? ToJson(verification).dump(2) + "\n" : InWords(verification));
  return ToStatus(verification);
}

}  // namespace consilium::researcher
