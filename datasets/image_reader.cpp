#include "datasets/image_reader.h"

#include "datasets/dicom/reader.h"
#include "datasets/pipeline/pipeline.h"

namespace consilium::datasets {
namespace {

class ThisProcess final : public ImageReader {
 public:
  std::vector<OrRefused<dicom::Header>> ReadHeaders(std::span<const fs::path> paths) override {
    std::vector<OrRefused<dicom::Header>> headers;
    for (const fs::path& path : paths) headers.push_back(dicom::ReadHeader(path));
    return headers;
  }

  OrRefused<std::vector<float>> ReadInput(const fs::path& path,
                                          const plan::Preprocessing& preprocessing) override {
    auto file = dicom::ImageFile::Open(path);
    if (!file.ok()) return file.refused();
    return pipeline::MakeInput(*file, preprocessing);
  }
};

}  // namespace

std::unique_ptr<ImageReader> ReadInThisProcess() { return std::make_unique<ThisProcess>(); }

}  // namespace consilium::datasets
