#pragma once

// A file's bytes, and what DCMTK makes of them. Internal to this folder.

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "datasets/refusal.h"

class DcmFileFormat;

namespace consilium::datasets::deidentification {

OrRefused<Bytes> ContentOf(const File& file);

// All of it, or what comes before the pixel data. DCMTK believes the lengths it reads: the caller
// has had the structure scan look at the bytes. False when DCMTK cannot read them. `bytes` is not
// needed afterwards.
enum class Extent { kAll, kBeforePixels };
bool Parse(Bytes& bytes, Extent extent, DcmFileFormat* file);

}  // namespace consilium::datasets::deidentification
