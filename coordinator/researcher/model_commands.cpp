#include "coordinator/researcher/model_commands.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/base/text_table.h"
#include "common/crypto/model_record.h"
#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"
#include "coordinator/researcher/research_channel.h"

namespace consilium::researcher {
namespace {

using nlohmann::json;

void Print(const std::string& text) { std::fputs(text.c_str(), stdout); }

fs::path RecordBeside(const fs::path& model) {
  fs::path path = model;
  return path.replace_extension(".record.json");
}

// The coordinator's key, as the pinned roster has it.
absl::StatusOr<crypto::Ed25519PublicKey> CoordinatorKey(const CommandOptions& options,
                                                        const identity::Identity& identity) {
  ASSIGN_OR_RETURN(const auto pinned, identity::PinnedRoster::Load(options.state, identity.root));
  const identity::RosterEntry* coordinator = pinned.current().roster.Coordinator();
  if (coordinator == nullptr) {
    return absl::FailedPreconditionError("the pinned roster names no coordinator");
  }
  return coordinator->signing_key;
}

absl::StatusOr<crypto::Ed25519PublicKey> SigningKey(const CommandOptions& options,
                                                    const std::string& hex) {
  if (hex.empty()) {
    auto identity = identity::LoadIdentity(options.state);
    if (!identity.ok()) {
      return absl::NotFoundError(
          "no key to verify with: give --key (the coordinator's operator reads it with "
          "`consilium-coordinator status`), or --state with the folder you enrolled in");
    }
    return CoordinatorKey(options, *identity);
  }
  ASSIGN_OR_RETURN(Bytes bytes, FromHex(hex));
  crypto::Ed25519PublicKey key;
  if (bytes.size() != key.size()) {
    return absl::InvalidArgumentError(
        StrCat("--key has ", bytes.size(), " bytes, a signing key has 32"));
  }
  std::copy(bytes.begin(), bytes.end(), key.begin());
  return key;
}

// The record's JSON, when `key` signed it and it is the record of `model`.
absl::StatusOr<std::string> VerifiedRecordOf(std::string_view file,
                                             const crypto::Ed25519PublicKey& key,
                                             const ModelId& model) {
  ASSIGN_OR_RETURN(crypto::VerifiedRecord verified, crypto::VerifyModelRecord(key, file));
  if (verified.model != model) {
    return absl::UnauthenticatedError(
        StrCat("NOT the model of this record: the model is ", model.Short(), ", the record is of ",
               verified.model.Short(), "; one of them was changed, fetch both again"));
  }
  return verified.record_json;
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
  ASSIGN_OR_RETURN(identity::Identity identity, identity::LoadIdentity(options.state));
  ResearchChannel channel(identity);
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
  ASSIGN_OR_RETURN(identity::Identity identity, identity::LoadIdentity(options.state));
  ResearchChannel channel(identity);
  ASSIGN_OR_RETURN(FetchedRecord record, channel.Record(model));
  ASSIGN_OR_RETURN(const auto key, CoordinatorKey(options, identity));
  RETURN_IF_ERROR(VerifiedRecordOf(record.record_json, key, record.model).status());
  TerminalProgress progress;
  RETURN_IF_ERROR(channel.Download(record.model, out, progress));
  const fs::path record_path = RecordBeside(out);
  RETURN_IF_ERROR(WriteFileDurably(record_path, record.record_json));
  if (options.json) {
    Print(json{{"model", record.model.Hex()},
               {"file", out.string()},
               {"record", record_path.string()}}
              .dump() +
          "\n");
  } else {
    Print(StrCat("model   ", record.model.Hex(), "\nfile    ", out.string(), "\nrecord  ",
                 record_path.string(), "\nverify  consilium model verify ", out.string(), "\n"));
  }
  return absl::OkStatus();
}

absl::Status VerifyCommand(const CommandOptions& options, const fs::path& model,
                           const fs::path& record, const std::string& key_hex) {
  ASSIGN_OR_RETURN(crypto::Ed25519PublicKey key, SigningKey(options, key_hex));
  const fs::path record_path = record.empty() ? RecordBeside(model) : record;
  ASSIGN_OR_RETURN(std::string text, ReadTextFile(record_path, 16 << 20));
  ASSIGN_OR_RETURN(Digest actual, crypto::Sha256OfFile(model));
  ASSIGN_OR_RETURN(std::string verified, VerifiedRecordOf(text, key, actual));
  ASSIGN_OR_RETURN(File file, File::OpenForReading(model));
  ASSIGN_OR_RETURN(SafetensorsHeader header, ReadSafetensorsHeader(file));
  const std::uint64_t parameters = TotalElements(header.layout);
  const json document = json::parse(verified);
  if (options.json) {
    Print(json{{"verified", true},
               {"model", actual.Hex()},
               {"parameters", parameters},
               {"record", document}}
              .dump(2) +
          "\n");
    return absl::OkStatus();
  }
  Print(StrCat("verified: ", actual.Hex(), "\n", RecordInWords(document), "  parameters      ",
               parameters, " in ", header.layout.size(), " tensors\n",
               "This proves that the file is, byte for byte, the model that the coordinator with "
               "signing key\n",
               ToHex(key).substr(0, 16),
               "... published, with the run, sites and results in its record. It does not prove\n"
               "that the model is fit for a patient.\n"));
  return absl::OkStatus();
}

}  // namespace consilium::researcher
