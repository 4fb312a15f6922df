#include "common/model/safetensors.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/base/status.h"
#include "common/model/external_model.h"

namespace consilium {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kSizeBytes = 8;
constexpr std::uint64_t kAlignment = 8;
constexpr std::uint64_t kLargestHeader = 16 << 20;
constexpr char kMetadataKey[] = "__metadata__";

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(StrCat("not a safetensors file as Consilium takes it: ", what));
}

// A JSON string, pure ASCII. Bytes that are no UTF-8 become U+FFFD.
std::string Quoted(const std::string& text) {
  return Json(text).dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

struct TensorEntry {
  TensorSpec spec;
  std::string dtype;
  bool has_dtype = false, has_shape = false, has_offsets = false;
  std::vector<std::uint64_t> offsets;
};

// Takes the header's JSON event by event, so that duplicate keys, other types and deeper nesting
// are seen and refused where they stand, and nothing but the entries is ever built.
class HeaderReader final : public nlohmann::json_sax<Json> {
 public:
  enum class Types { kOurs, kAny };
  explicit HeaderReader(Types types = Types::kOurs) : types_(types) {}

  absl::Status status;
  std::vector<TensorEntry> tensors;
  std::map<std::string, std::string> metadata;

  bool start_object(std::size_t) override {
    switch (where_) {
      case Where::kBeforeHeader:
        return Enter(Where::kHeader);
      case Where::kHeader:
        return Enter(key_ == kMetadataKey ? Where::kMetadata : Where::kTensor);
      default:
        return Refuse("an object stands where none belongs");
    }
  }

  bool end_object() override {
    if (where_ == Where::kTensor && !EndTensor()) return false;
    where_ = where_ == Where::kHeader ? Where::kAfterHeader : Where::kHeader;
    return true;
  }

  bool key(string_t& name) override {
    key_ = name;
    switch (where_) {
      case Where::kHeader:
        return name == kMetadataKey ? BeginMetadata() : BeginTensor(name);
      case Where::kMetadata:
        return !metadata.contains(name) || Refuse("a key stands twice in __metadata__");
      default:
        return BeginField(name);
    }
  }

  bool string(string_t& value) override {
    if (where_ == Where::kMetadata) {
      metadata[key_] = value;
      return true;
    }
    if (where_ != Where::kTensor || key_ != "dtype")
      return Refuse("a text stands where none belongs");
    const bool is_word =
        value.size() <= 8 && std::all_of(value.begin(), value.end(), IsAlphanumeric);
    tensors.back().dtype = is_word ? value : "of another kind";
    if (types_ == Types::kOurs && value != "F32") {
      return RefuseTensor(is_word ? StrCat("has the dtype ", value, ", only F32 is taken")
                                  : "has an unknown dtype, only F32 is taken");
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (where_ != Where::kTensor) return Refuse("a list stands where none belongs");
    if (key_ == "shape") return Enter(Where::kShape);
    if (key_ == "data_offsets") return Enter(Where::kOffsets);
    return RefuseTensor("has a list as its dtype");
  }

  bool end_array() override { return Enter(Where::kTensor); }

  bool number_unsigned(number_unsigned_t value) override {
    if (where_ == Where::kOffsets) {
      tensors.back().offsets.push_back(value);
      return tensors.back().offsets.size() <= 2 || RefuseTensor("has more than two data_offsets");
    }
    if (where_ != Where::kShape) return Refuse("a number stands where none belongs");
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return RefuseTensor("has a dimension that is too large");
    }
    tensors.back().spec.shape.push_back(static_cast<std::int64_t>(value));
    return true;
  }

  bool number_integer(number_integer_t) override { return Refuse("a number is negative"); }
  bool number_float(number_float_t, const string_t&) override {
    return Refuse("a number is not an integer of 64 bits");
  }
  bool null() override { return Refuse("a null stands where none belongs"); }
  bool boolean(bool) override { return Refuse("a boolean stands where none belongs"); }
  bool binary(binary_t&) override { return Refuse("binary data stands in the header"); }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Refuse(StrCat("the header is not JSON at its byte ", position));
  }

 private:
  enum class Where { kBeforeHeader, kHeader, kMetadata, kTensor, kShape, kOffsets, kAfterHeader };

  static bool IsAlphanumeric(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

  bool Enter(Where where) {
    where_ = where;
    return true;
  }
  bool Refuse(std::string_view what) {
    if (status.ok()) status = Malformed(what);
    return false;
  }
  bool RefuseTensor(std::string_view what) {
    return Refuse(StrCat("tensor ", tensors.size(), " of the header ", what));
  }

  bool BeginMetadata() {
    if (seen_metadata_) return Refuse("__metadata__ stands twice");
    seen_metadata_ = true;
    return true;
  }
  bool BeginTensor(const std::string& name) {
    tensors.emplace_back().spec.name = name;  // CheckLayout finds duplicates
    return true;
  }
  bool BeginField(const std::string& name) {
    TensorEntry& tensor = tensors.back();
    bool* seen = name == "dtype"          ? &tensor.has_dtype
                 : name == "shape"        ? &tensor.has_shape
                 : name == "data_offsets" ? &tensor.has_offsets
                                          : nullptr;
    if (seen == nullptr) return RefuseTensor("has an unknown key");
    if (*seen) return RefuseTensor(StrCat("has ", name, " twice"));
    *seen = true;
    return true;
  }
  bool EndTensor() {
    const TensorEntry& tensor = tensors.back();
    if (!tensor.has_dtype) return RefuseTensor("has no dtype");
    if (!tensor.has_shape) return RefuseTensor("has no shape");
    if (tensor.offsets.size() != 2) return RefuseTensor("does not have two data_offsets");
    return true;
  }

  const Types types_;
  Where where_ = Where::kBeforeHeader;
  std::string key_;
  bool seen_metadata_ = false;
};

// In the order of the data; refuses gaps, overlaps and whatever does not end with the data.
absl::StatusOr<Layout> TakeLayout(std::vector<TensorEntry> tensors, std::uint64_t data_size) {
  std::stable_sort(tensors.begin(), tensors.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return a.offsets < b.offsets;
  });
  Layout layout;
  for (TensorEntry& tensor : tensors) layout.push_back(std::move(tensor.spec));
  if (absl::Status status = CheckLayout(layout); !status.ok()) {
    return Malformed(ToStd(status.message()));
  }
  std::uint64_t expected = 0;
  for (std::size_t i = 0; i < layout.size(); ++i) {
    const std::uint64_t begin = tensors[i].offsets[0], end = tensors[i].offsets[1];
    const std::string tensor = StrCat("tensor ", layout[i].name);
    if (begin > end || end > data_size) {
      return Malformed(StrCat(tensor, " has the offsets ", begin, " to ", end, ", the data has ",
                              data_size, " bytes"));
    }
    if (begin != expected) {
      return Malformed(StrCat(
          tensor, " begins at byte ", begin, " of the data where ", expected,
          begin < expected ? " is expected: tensors overlap" : " is expected: there is a gap"));
    }
    if (end - begin != 4 * layout[i].Elements()) {
      return Malformed(StrCat(tensor, " has ", end - begin, " bytes where its shape needs ",
                              4 * layout[i].Elements()));
    }
    expected = end;
  }
  if (expected != data_size) {
    return Malformed(
        StrCat("the tensors end at byte ", expected, " of ", data_size, " of the data"));
  }
  return layout;
}

ByteView AsBytes(std::span<const float> values) {
  return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size_bytes()};
}

absl::Status WriteModel(const fs::path& path, const std::string& header, const ModelState& model) {
  ASSIGN_OR_RETURN(File file, File::OpenForWriting(path, /*truncate=*/true));
  RETURN_IF_ERROR(file.WriteAt(0, consilium::AsBytes(std::string_view(header))));
  RETURN_IF_ERROR(file.WriteAt(header.size(), AsBytes(model.values())));
  return file.Sync();
}

}  // namespace

std::string WriteSafetensorsHeader(const Layout& layout,
                                   const std::map<std::string, std::string>& metadata) {
  std::string json = "{";
  if (!metadata.empty()) {
    StrAppend(&json, "\"", kMetadataKey, "\":{");
    for (const auto& [key, value] : metadata) {
      StrAppend(&json, json.back() == '{' ? "" : ",", Quoted(key), ":", Quoted(value));
    }
    json += "}";
  }
  std::uint64_t offset = 0;
  for (const TensorSpec& tensor : layout) {
    StrAppend(&json, json.size() == 1 ? "" : ",", Quoted(tensor.name),
              ":{\"dtype\":\"F32\",\"shape\":[");
    for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
      StrAppend(&json, i == 0 ? "" : ",", tensor.shape[i]);
    }
    const std::uint64_t end = offset + 4 * tensor.Elements();
    StrAppend(&json, "],\"data_offsets\":[", offset, ",", end, "]}");
    offset = end;
  }
  json += "}";
  json.append((kAlignment - json.size() % kAlignment) % kAlignment, ' ');
  std::string header(kSizeBytes, '\0');
  StoreLe64(reinterpret_cast<std::uint8_t*>(header.data()), json.size());
  return header + json;
}

absl::StatusOr<std::uint64_t> SafetensorsDataOffset(ByteView beginning, std::uint64_t file_size) {
  if (file_size < kSizeBytes) return Malformed(StrCat("it has only ", file_size, " bytes"));
  if (beginning.size() < kSizeBytes) {
    return absl::OutOfRangeError(StrCat("the first ", kSizeBytes, " bytes are needed"));
  }
  const std::uint64_t header_size = LoadLe64(beginning.data());
  if (header_size > kLargestHeader) {
    return Malformed(StrCat("its header would have ", header_size, " bytes, at most ",
                            kLargestHeader, " are taken"));
  }
  if (header_size > file_size - kSizeBytes) {
    return Malformed(StrCat("its header of ", header_size, " bytes goes beyond the file of ",
                            file_size, " bytes"));
  }
  if (header_size == 0 || header_size % kAlignment != 0) {
    return Malformed(
        StrCat("its header has ", header_size, " bytes, not a multiple of ", kAlignment));
  }
  return kSizeBytes + header_size;
}

absl::StatusOr<SafetensorsHeader> ReadSafetensorsHeader(ByteView beginning,
                                                        std::uint64_t file_size) {
  SafetensorsHeader header;
  ASSIGN_OR_RETURN(header.data_offset, SafetensorsDataOffset(beginning, file_size));
  if (beginning.size() < header.data_offset) {
    return absl::OutOfRangeError(StrCat("the first ", header.data_offset, " bytes are needed"));
  }
  std::string_view json = AsText(beginning.subspan(kSizeBytes, header.data_offset - kSizeBytes));
  json = json.substr(0, json.find_last_not_of(' ') + 1);
  if (json.empty() || json.front() != '{' || json.back() != '}') {
    return Malformed("its header is not one JSON object followed by spaces");
  }
  HeaderReader reader;
  if (!Json::sax_parse(json, &reader)) return reader.status;
  ASSIGN_OR_RETURN(header.layout,
                   TakeLayout(std::move(reader.tensors), file_size - header.data_offset));
  header.metadata = std::move(reader.metadata);
  return header;
}

absl::StatusOr<SafetensorsHeader> ReadSafetensorsHeader(const File& file) {
  ASSIGN_OR_RETURN(const std::uint64_t size, file.Size());
  Bytes beginning(std::min(size, kSizeBytes));
  RETURN_IF_ERROR(file.ReadAt(0, beginning));
  ASSIGN_OR_RETURN(const std::uint64_t data_offset, SafetensorsDataOffset(beginning, size));
  beginning.resize(data_offset);
  RETURN_IF_ERROR(file.ReadAt(0, beginning));
  return ReadSafetensorsHeader(beginning, size);
}

absl::StatusOr<std::vector<ExternalTensor>> ReadExternalHeader(ByteView beginning,
                                                               std::uint64_t file_size) {
  if (beginning.size() < kSizeBytes || file_size < kSizeBytes) return Malformed("it is too short");
  const std::uint64_t header_size = LoadLe64(beginning.data());
  if (header_size > kLargestHeader || header_size > file_size - kSizeBytes) {
    return Malformed(StrCat("its header would have ", header_size, " bytes"));
  }
  const std::uint64_t data_offset = kSizeBytes + header_size;
  if (beginning.size() < data_offset) {
    return absl::OutOfRangeError(StrCat("the first ", data_offset, " bytes are needed"));
  }
  HeaderReader reader(HeaderReader::Types::kAny);
  if (!Json::sax_parse(AsText(beginning.subspan(kSizeBytes, header_size)), &reader)) {
    return reader.status;
  }
  std::vector<ExternalTensor> tensors;
  Layout layout;
  for (TensorEntry& entry : reader.tensors) {
    const std::uint64_t begin = entry.offsets[0], end = entry.offsets[1];
    if (begin > end || end > file_size - data_offset) {
      return Malformed("a tensor's data_offsets go beyond the file");
    }
    layout.push_back(entry.spec);
    tensors.push_back(
        {std::move(entry.spec), std::move(entry.dtype), data_offset + begin, end - begin});
  }
  if (absl::Status status = CheckLayout(layout); !status.ok()) {
    return Malformed(ToStd(status.message()));
  }
  return tensors;
}

absl::StatusOr<ExternalModel> ExternalModel::Open(const fs::path& path) {
  ASSIGN_OR_RETURN(File file, File::OpenForReading(path));
  ASSIGN_OR_RETURN(const std::uint64_t size, file.Size());
  if (size < kSizeBytes) return Malformed(StrCat("it has only ", size, " bytes"));
  Bytes beginning(kSizeBytes);
  RETURN_IF_ERROR(file.ReadAt(0, beginning));
  const std::uint64_t header_size = LoadLe64(beginning.data());
  if (header_size > kLargestHeader || header_size > size - kSizeBytes) {
    return Malformed(
        "its header is too long (of a .pt or .pth file, save the state dict with the safetensors "
        "package first)");
  }
  beginning.resize(kSizeBytes + header_size);
  RETURN_IF_ERROR(file.ReadAt(0, beginning));
  ASSIGN_OR_RETURN(auto tensors, ReadExternalHeader(beginning, size));
  return ExternalModel(std::move(file), std::move(tensors));
}

absl::Status SaveSafetensors(const fs::path& path, const ModelState& model,
                             const std::map<std::string, std::string>& metadata) {
  const std::string header = WriteSafetensorsHeader(model.layout(), metadata);
  if (header.size() > kLargestHeader + kSizeBytes) {
    return absl::InvalidArgumentError(StrCat("a header of ", header.size(),
                                             " bytes is too large for a model file, at most ",
                                             kLargestHeader, " are allowed"));
  }
  const fs::path temporary = TemporaryBeside(path);
  absl::Status status = WriteModel(temporary, header, model);
  if (status.ok()) status = RenameDurably(temporary, path);
  if (!status.ok()) (void)Remove(temporary);
  return status;
}

absl::StatusOr<ModelState> LoadSafetensors(const fs::path& path) {
  ASSIGN_OR_RETURN(File file, File::OpenForReading(path));
  ASSIGN_OR_RETURN(SafetensorsHeader header, ReadSafetensorsHeader(file));
  std::vector<float> values(TotalElements(header.layout));
  RETURN_IF_ERROR(file.ReadAt(header.data_offset, {reinterpret_cast<std::uint8_t*>(values.data()),
                                                   values.size() * sizeof(float)}));
  return ModelState::Create(std::move(header.layout), std::move(values));
}

absl::StatusOr<ModelState> ParseSafetensors(ByteView bytes) {
  ASSIGN_OR_RETURN(SafetensorsHeader header, ReadSafetensorsHeader(bytes, bytes.size()));
  std::vector<float> values(TotalElements(header.layout));
  if (!values.empty()) {
    std::memcpy(values.data(), bytes.data() + header.data_offset, values.size() * sizeof(float));
  }
  return ModelState::Create(std::move(header.layout), std::move(values));
}

}  // namespace consilium
