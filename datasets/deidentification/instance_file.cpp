#include "datasets/deidentification/instance_file.h"

#include "datasets/dicom/data_set.h"
#include "dcmtk/config/osconfig.h"
// osconfig.h must come first.
#include "dcmtk/dcmdata/dcistrmb.h"
#include "dcmtk/dcmdata/dctk.h"

namespace consilium::datasets::deidentification {

OrRefused<Bytes> ContentOf(const File& file) {
  const auto size = file.Size();
  if (!size.ok()) return dicom::Unreadable(size.status());
  Bytes bytes(*size);
  if (const auto read = file.ReadAt(0, bytes); !read.ok()) return dicom::Unreadable(read);
  return bytes;
}

bool Parse(Bytes& bytes, Extent extent, DcmFileFormat* file) {
  DcmInputBufferStream stream;
  stream.setBuffer(bytes.data(), static_cast<offile_off_t>(bytes.size()));
  stream.setEos();
  file->transferInit();
  const OFCondition read =
      extent == Extent::kAll
          ? file->read(stream, EXS_Unknown, EGL_noChange, DCM_MaxReadLength)
          : file->readUntilTag(stream, EXS_Unknown, EGL_noChange, DCM_MaxReadLength, DCM_PixelData);
  file->transferEnd();
  return read.good();
}

}  // namespace consilium::datasets::deidentification
