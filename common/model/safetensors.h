#pragma once

// The safetensors format (https://github.com/huggingface/safetensors, "Format"):
//
//   file   := header_size (u64, little-endian)  header (JSON, padded with spaces)  data
//   header := { "name": {"dtype":"F32","shape":[..],"data_offsets":[begin,end]}, ...,
//   "__metadata__": {string: string} }
//
// Ours: F32 only; tensors without gaps or overlap, covering the data exactly; header at most 16
// MiB. Nothing in a file is ever executed. Written files are canonical: the same layout, metadata
// and values give the same bytes, so that a model's identity is the SHA-256 of its file. The data
// begins at a multiple of 8.

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/model/model_state.h"

namespace consilium {

struct SafetensorsHeader {
  Layout layout;
  std::map<std::string, std::string> metadata;
  std::uint64_t data_offset = 0;  // of the first value in the file
  std::uint64_t file_size() const { return data_offset + 4 * TotalElements(layout); }
};

// The header's bytes (with the leading size) for a layout: the canonical form.
std::string WriteSafetensorsHeader(const Layout& layout,
                                   const std::map<std::string, std::string>& metadata = {});

// Where the data of a file of `file_size` bytes begins, from its first 8 bytes: that many bytes
// hold the header whole. kInvalidArgument when the size cannot be (none, over 16 MiB, beyond the
// file, data not at a multiple of 8).
absl::StatusOr<std::uint64_t> SafetensorsDataOffset(ByteView beginning, std::uint64_t file_size);

// Reads the header from the beginning of a file of `file_size` bytes. `beginning` needs to hold the
// header whole (kOutOfRange with the size needed when it does not). kInvalidArgument on anything
// that is not exactly as above.
absl::StatusOr<SafetensorsHeader> ReadSafetensorsHeader(ByteView beginning,
                                                        std::uint64_t file_size);
absl::StatusOr<SafetensorsHeader> ReadSafetensorsHeader(const File& file);

// Whole models. Saving is durable: after a crash the old file or the new is there, whole. A file
// refused because its content is not as above, or holds NaN or infinity, is kInvalidArgument.
absl::Status SaveSafetensors(const fs::path& path, const ModelState& model,
                             const std::map<std::string, std::string>& metadata = {});
absl::StatusOr<ModelState> LoadSafetensors(const fs::path& path);
absl::StatusOr<ModelState> ParseSafetensors(ByteView bytes);

}  // namespace consilium
