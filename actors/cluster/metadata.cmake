# The replicated metadata service (no CAF in it). Included by CMakeLists.txt; paths are relative to this folder.
troupe_room(metadata_service
  SOURCES metadata_node.cpp metadata_core.cpp metadata_member.cpp metadata_requests.cpp metadata_lease.cpp leader_duties.cpp peer_links.cpp peer_link.cpp raft_disk.cpp
  DEPENDS troupe_base troupe_metadata troupe_consensus troupe_membership troupe_storage troupe_transport troupe_telemetry PRECOMPILED asio)
