# Every target, what it links, and how many mutated inputs the replay makes of its corpus (3000 unless said).
add_library(consilium_fuzz_scenes STATIC pixel_cache_scene.cpp published_model.cpp secure_scene.cpp)
target_link_libraries(consilium_fuzz_scenes
  PUBLIC consilium_fuzz consilium_datasets consilium_identity consilium_secagg consilium_wire nlohmann_json::nlohmann_json)

# text
consilium_fuzz_target(address LINK consilium_base)
consilium_fuzz_target(text_encoding LINK consilium_base)
consilium_fuzz_target(csv LINK consilium_datasets)
consilium_fuzz_target(labels LINK consilium_datasets)
consilium_fuzz_target(table LINK consilium_table_command)
consilium_fuzz_target(metrics LINK consilium_metrics consilium_description_page)
consilium_fuzz_target(plan LINK consilium_plan)
consilium_fuzz_target(policy LINK consilium_site_agent)

# models
consilium_fuzz_target(safetensors_header LINK consilium_model)
consilium_fuzz_target(safetensors_file LINK consilium_model)

consilium_fuzz_target(model_download LINK consilium_site_agent MUTATIONS 50)

# what peers send
consilium_fuzz_target(from_site LINK consilium_wire)
consilium_fuzz_target(to_site LINK consilium_wire consilium_site_agent)
consilium_fuzz_target(upload LINK consilium_wire)
consilium_fuzz_target(run_event LINK consilium_wire consilium_researcher)
consilium_fuzz_target(envelope LINK consilium_crypto MUTATIONS 1000)
consilium_fuzz_target(certificate LINK consilium_crypto MUTATIONS 300)
consilium_fuzz_target(site_session LINK consilium_fuzz_scenes MUTATIONS 300)
consilium_fuzz_target(coordinator_session LINK consilium_fuzz_scenes MUTATIONS 200)

# documents
consilium_fuzz_target(token LINK consilium_identity)
consilium_fuzz_target(roster LINK consilium_identity MUTATIONS 1000)
consilium_fuzz_target(signed_document LINK consilium_crypto MUTATIONS 1000)
consilium_fuzz_target(model_verification LINK consilium_fuzz_scenes consilium_researcher MUTATIONS 200)

# what lies on a disk of ours
consilium_fuzz_target(key_file LINK consilium_crypto MUTATIONS 1000)
consilium_fuzz_target(given_answers LINK consilium_site_agent)
consilium_fuzz_target(saved_session LINK consilium_fuzz_scenes MUTATIONS 1000)
consilium_fuzz_target(ledger LINK consilium_ledger MUTATIONS 100)
consilium_fuzz_target(catalog LINK consilium_datasets MUTATIONS 300)
consilium_fuzz_target(site_database LINK consilium_site_agent MUTATIONS 100)
consilium_fuzz_target(pixel_cache LINK consilium_fuzz_scenes consilium_datasets MUTATIONS 300)

# images
consilium_fuzz_target(dicom LINK consilium_datasets)
consilium_fuzz_target(rle LINK consilium_dicom)
consilium_fuzz_target(recording LINK consilium_audio_messages)
find_package(ZLIB REQUIRED)
consilium_fuzz_target(image_import LINK consilium_import ZLIB::ZLIB MUTATIONS 1000)
consilium_fuzz_target(jpeg2000 LINK consilium_dicom MUTATIONS 1000)
consilium_fuzz_target(segmentation LINK consilium_targets MUTATIONS 1000)
consilium_fuzz_target(structure_set LINK consilium_targets MUTATIONS 1000)
consilium_fuzz_target(report LINK consilium_targets MUTATIONS 1000)

# archives
consilium_fuzz_target(pdu LINK consilium_pacs)
consilium_fuzz_target(multipart LINK consilium_pacs)
consilium_fuzz_target(part10 LINK consilium_pacs)

# sandboxed workers
consilium_fuzz_target(worker_answer LINK consilium_deidentification consilium_volumes consilium_worker_messages)
