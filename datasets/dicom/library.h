#pragma once

namespace consilium::datasets::dicom {

// Registers DCMTK's codecs, loads its dictionary and silences its log, the first time it is called.
// Thread-safe.
void InitialiseLibrary();

}  // namespace consilium::datasets::dicom
