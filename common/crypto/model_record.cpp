#include "common/crypto/model_record.h"

#include <nlohmann/json.hpp>

#include "common/base/status.h"
#include "common/crypto/signed_document.h"

namespace consilium::crypto {
namespace {

absl::StatusOr<Digest> ModelOf(std::string_view record_json) {
  const nlohmann::json record =
      nlohmann::json::parse(record_json.begin(), record_json.end(), nullptr,
                            /*allow_exceptions=*/false);
  const auto model = record.find("model");
  if (model == record.end() || !model->is_string()) {
    return absl::InvalidArgumentError("the record names no model");
  }
  return Digest::FromHex(model->get_ref<const std::string&>());
}

}  // namespace

absl::StatusOr<std::string> SignModelRecord(const Ed25519KeyPair& key,
                                            std::string_view record_json) {
  RETURN_IF_ERROR(ModelOf(record_json).status());
  return SignDocument(key, kModelRecordDocument, record_json);
}

absl::StatusOr<VerifiedRecord> VerifyModelRecord(const Ed25519PublicKey& key,
                                                 std::string_view file) {
  ASSIGN_OR_RETURN(std::string record, VerifyDocument(key, kModelRecordDocument, file));
  ASSIGN_OR_RETURN(const Digest model, ModelOf(record));
  return VerifiedRecord{model, std::move(record)};
}

}  // namespace consilium::crypto
