#pragma once

#include <cstdint>
#include <span>

namespace consilium::datasets::deidentification {

// Overwrites with zeros what a compressed image may say beside its pixels: comments (COM) and
// application segments (APPn: Exif, XMP ...) of JPEG and JPEG-LS (ISO/IEC 10918-1 B.2.4), comments
// of JPEG 2000 (ISO/IEC 15444-1 A.9.2). JFIF's APP0, SPIFF's APP8 and Adobe's APP14, which say how
// to read the pixels, stay. No length changes, so that offset tables hold. Bytes of another kind
// are left alone. Pure.
void BlankComments(std::span<std::uint8_t> code_stream);

}  // namespace consilium::datasets::deidentification
