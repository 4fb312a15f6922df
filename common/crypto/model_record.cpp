#include "common/crypto/model_record.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/base/status.h"

namespace consilium::crypto {
namespace {

constexpr std::string_view kDomain = "consilium model record v1\n";

absl::StatusOr<nlohmann::json> ParseObject(std::string_view text) {
  nlohmann::json json = nlohmann::json::parse(text.begin(), text.end(), nullptr,
                                              /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::InvalidArgumentError("a model record is a JSON object");
  return json;
}

absl::StatusOr<Digest> ModelOf(const nlohmann::json& record) {
  const auto model = record.find("model");
  if (model == record.end() || !model->is_string()) {
    return absl::InvalidArgumentError("the record names no model");
  }
  return Digest::FromHex(model->get_ref<const std::string&>());
}

std::string Write(const nlohmann::json& record, const Signature& signature) {
  return nlohmann::json{{"record", record}, {"signature", ToHex(signature)}}.dump(2) + "\n";
}

}  // namespace

absl::StatusOr<std::string> SignModelRecord(const Ed25519KeyPair& key,
                                            std::string_view record_json) {
  ASSIGN_OR_RETURN(const nlohmann::json record, ParseObject(record_json));
  RETURN_IF_ERROR(ModelOf(record).status());
  ASSIGN_OR_RETURN(const Signature signature, Sign(key, AsBytes(StrCat(kDomain, record.dump()))));
  return Write(record, signature);
}

absl::StatusOr<VerifiedRecord> VerifyModelRecord(const Ed25519PublicKey& key,
                                                 std::string_view file) {
  ASSIGN_OR_RETURN(const nlohmann::json json, ParseObject(file));
  if (!json.contains("record") || !json["record"].is_object() || !json.contains("signature") ||
      !json["signature"].is_string()) {
    return absl::InvalidArgumentError(
        "this is not a signed model record: \"record\" or \"signature\" is missing");
  }
  ASSIGN_OR_RETURN(const Bytes bytes, FromHex(json["signature"].get_ref<const std::string&>()));
  Signature signature{};
  if (bytes.size() != signature.size()) {
    return absl::InvalidArgumentError(
        StrCat("the record's signature has ", bytes.size(), " bytes, not 64"));
  }
  std::copy(bytes.begin(), bytes.end(), signature.begin());
  const nlohmann::json& record = json["record"];
  if (Write(record, signature) != file) {
    return absl::InvalidArgumentError(
        "the model record is not in its canonical form; fetch it again, a copy was changed");
  }
  std::string text = record.dump();
  RETURN_IF_ERROR(VerifySignature(key, AsBytes(StrCat(kDomain, text)), signature));
  ASSIGN_OR_RETURN(const Digest model, ModelOf(record));
  return VerifiedRecord{model, std::move(text)};
}

}  // namespace consilium::crypto
