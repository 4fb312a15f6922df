#include "experiments/studies/study.h"

#include <array>

#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "experiments/studies/study_plans.h"

namespace consilium::experiments {

std::string_view TitleOf(Figure figure, Task task) {
  return figure == Figure::kAccuracy ? "accuracy" : HeadlineTitle(task);
}

std::span<const Study> Studies() {
  static const std::array<Study, 10> kStudies = {{
      {"heart-disease", "Heart disease by hospital", Figure::kAccuracy, kHeartDiseasePlan,
       "UCI Heart Disease (Janosi, Steinbrunn, Pfisterer, Detrano 1988, doi 10.24432/C52P4X), CC "
       "BY "
       "4.0; setting of FLamby (Ogier du Terrail et al., NeurIPS 2022).",
       PrepareHeartDisease},
      {"breast-cancer-survival", "Breast-cancer survival by region", Figure::kHeadline,
       kBreastCancerSurvivalPlan,
       "TCGA-BRCA clinical data (TCGA Research Network; open access at the NCI GDC) as prepared by "
       "FLamby (Ogier du Terrail et al., NeurIPS 2022; MIT).",
       PrepareBreastCancerSurvival},
      {"icu-mortality", "ICU mortality by region", Figure::kHeadline, kIcuMortalityPlan,
       "eICU Collaborative Research Database demo 2.0 (Pollard et al., Sci Data 5:180178, 2018, "
       "doi "
       "10.13026/4mxk-na84), ODbL 1.0.",
       PrepareIcuMortality},
      {"chest-xray", "Pneumonia in chest radiographs, four uneven hospitals", Figure::kHeadline,
       kChestXrayPlan,
       "PneumoniaMNIST of MedMNIST v2 (Yang et al., Sci Data 10:41, 2023; Kermany et al., Cell "
       "172, "
       "2018), CC BY 4.0.",
       PrepareChestXray},
      {"brain-mri-segmentation", "Tumour outlines in brain MRI by institution", Figure::kHeadline,
       kBrainMriSegmentationPlan,
       "TCGA-LGG slices with outlines (Buda, Saha, Mazurowski, Comput Biol Med 109, 2019), CC "
       "BY-NC-SA 4.0.",
       PrepareBrainMri},
      {"brain-mri-detection", "Boxes around tumours in brain MRI by institution", Figure::kHeadline,
       kBrainMriDetectionPlan,
       "TCGA-LGG slices with outlines (Buda, Saha, Mazurowski, Comput Biol Med 109, 2019), CC "
       "BY-NC-SA 4.0.",
       PrepareBrainMri},
      {"breast-ultrasound", "Breast ultrasound: benign, malignant or normal", Figure::kHeadline,
       kBreastUltrasoundPlan,
       "BUSI (Al-Dhabyani et al., Data in Brief 28:104863, 2020; CC BY 4.0), one hospital dealt to "
       "three.",
       PrepareBreastUltrasound},
      {"covid-prognosis", "Intensive care of COVID-19, by radiograph and table", Figure::kHeadline,
       kCovidPrognosisPlan,
       "COVID-19 Image Repository, Hannover Medical School (Winther et al., 2020, doi "
       "10.6084/m9.figshare.12275009), CC BY 3.0, one hospital dealt to three.",
       PrepareCovidPrognosis},
      {"heart-sounds", "Heart sounds by institution", Figure::kHeadline, kHeartSoundsPlan,
       "PhysioNet/CinC Challenge 2016 (Liu et al., Physiol Meas 37:2181, 2016; Goldberger et al., "
       "Circulation 101, 2000), ODC-By 1.0.",
       PrepareHeartSounds},
      {"hippocampus", "Hippocampus in MRI volumes, four uneven hospitals", Figure::kHeadline,
       kHippocampusPlan,
       "Medical Segmentation Decathlon, Task04 (Antonelli et al., Nat Commun 13:4128, 2022; "
       "Simpson "
       "et al., arXiv 1902.09063), CC BY-SA 4.0, one hospital dealt to four.",
       PrepareHippocampus},
  }};
  return kStudies;
}

absl::StatusOr<const Study*> FindStudy(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Study& study : Studies()) {
    if (study.name == name) return &study;
    names.push_back(study.name);
  }
  std::string known;
  for (const std::string_view one : names) StrAppend(&known, known.empty() ? "" : ", ", one);
  return absl::InvalidArgumentError(StrCat("there is no study \"", name, "\"; there are ", known));
}

}  // namespace consilium::experiments
