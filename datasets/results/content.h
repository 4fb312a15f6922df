#pragma once

// Private to this folder: the content tree of a structured report (PS3.3 C.17.3).

#include <string>
#include <string_view>

#include "datasets/results/object_writer.h"

namespace consilium::datasets::results {

// Relationships of PS3.3 C.17.3.2.4.
inline constexpr char kContains[] = "CONTAINS", kModifies[] = "HAS CONCEPT MOD",
                      kObservedIn[] = "HAS OBS CONTEXT", kAcquiredIn[] = "HAS ACQ CONTEXT",
                      kHasProperties[] = "HAS PROPERTIES", kInferredFrom[] = "INFERRED FROM",
                      kSelectedFrom[] = "SELECTED FROM";

Code DicomCode(std::string_view value, std::string_view meaning);
Code ModalityCode(std::string_view modality);  // PS3.16 CID 29

// One content item, and adding to it. A view, as Attributes.
class Content {
 public:
  explicit Content(Attributes attributes) : attributes_(attributes) {}

  // CONTAINER of a template of PS3.16; 0: of none of its own.
  Content AddContainer(const Code& name, int template_id = 0);
  Content AddCode(const char* relation, const Code& name, const Code& value);
  void AddText(const char* relation, const Code& name, std::string_view value);
  void AddUid(const char* relation, const Code& name, const std::string& uid);
  Content AddNumber(const char* relation, const Code& name, double value, const Code& unit);
  // `segment` 0: none.
  Content AddImage(const char* relation, const Code* name, const FrameReference& image,
                   std::uint32_t segment = 0);
  // A line in the pixels of an image, from its top left corner (C.10.5.1.2): x and y of each of its
  // points.
  void AddLine(const char* relation, const std::vector<float>& points, const FrameReference& image,
               const Code& name = {});

  void UseTemplate(int id);

 private:
  Content Add(const char* relation, const char* type, const Code* name);

  Attributes attributes_;
};

// TID 1002 and 1004: the observer is the model, or where there is none, this program.
void AddObserver(Content& root, const ModelDescription& model);

}  // namespace consilium::datasets::results
