# Tests. A file is a program; ctest names are <kind>.<folder>.<file>, labels are the kinds:
#   tests/unit/<folder>/test_*.c      unit         links that folder's library and what is below
#   tests/contract/*_contract.c       contract     (other files there are shared by them)
#   tests/fuzz/fuzz_*.c               fuzz         corpus replay; libFuzzer with -DCARILLON_FUZZ=ON
#   tests/sim/*.c                     sim          one program, sim
#   tests/bench/bench_*.c             -            measurements, run by hand
#   tests/integration/test_*.{c,sh,py}  integration  real programs and servers
pkg_check_modules(CHECK REQUIRED IMPORTED_TARGET check)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
set(test_bin ${CMAKE_BINARY_DIR}/tests)
set(oracles PkgConfig::CHECK PkgConfig::JANSSON PkgConfig::MSGPACK PkgConfig::YAML
    PkgConfig::XXHASH PkgConfig::PQ PkgConfig::UV nng::nng Threads::Threads m)

file(GLOB testlib_sources CONFIGURE_DEPENDS tests/lib/*.c)
carillon_add_library(carillon_testlib ${testlib_sources})
carillon_link(carillon_testlib carillon_node_os carillon_base_os carillon_base)
carillon_link(carillon_testlib ${oracles})

# The simulator's fakes are a library, so that contract and unit tests can use them. It names no
# floor above base: a program that uses a fake links what that fake stands on.
file(GLOB simlib_sources CONFIGURE_DEPENDS tests/sim/*.c)
list(FILTER simlib_sources EXCLUDE REGEX "/main\\.c$")
carillon_add_library(carillon_simlib ${simlib_sources})
carillon_link(carillon_simlib carillon_base)

# A unit test links its floor and those below, so that a folder can be built and tested alone.
set(unit_base carillon_base_os carillon_base)
set(unit_conf carillon_conf ${unit_base})
set(unit_core carillon_core ${unit_base})
set(unit_net carillon_net_nng carillon_net_http carillon_net ${unit_conf})
set(unit_coord carillon_coord_zk carillon_coord_redis carillon_coord ${unit_conf})
set(unit_storage carillon_storage_pg carillon_storage ${unit_conf})
# From here up the fakes of the simulator may stand in for store, transport and coordination.
set(unit_scheduler carillon_simlib carillon_scheduler ${unit_net} ${unit_coord} ${unit_storage})
set(unit_engine carillon_simlib carillon_node carillon_engine carillon_core ${unit_scheduler})
set(unit_cmd carillon_simlib carillon_node ${CARILLON_ADAPTERS})
set(unit_sim ${unit_cmd})
# Contract suites, by the port that they hold fake and real implementation to.
set(contract_store ${unit_storage})
set(contract_transport ${unit_net})
set(contract_coord ${unit_coord})
set(contract_loop ${unit_base})
set(contract_pg_private carillon_node_os ${unit_base})

function(carillon_test kind name source)
    set(target test_${kind}_${name})
    string(REPLACE "." "_" target ${target})
    add_executable(${target} ${source})
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${test_bin}/${kind})
    target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR})
    target_link_libraries(${target} PRIVATE ${ARGN} carillon_testlib ${oracles})
    # Tests may do what the ban list keeps from production code.
    target_compile_definitions(${target} PRIVATE CARILLON_ADAPTER=1)
    add_test(NAME ${kind}.${name} COMMAND ${target} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    carillon_test_properties(${kind}.${name} ${kind})
    add_dependencies(tests_${kind} ${target})
endfunction()

function(carillon_test_properties name kind)
    if(kind STREQUAL "unit" OR kind STREQUAL "fuzz")
        set(timeout 120)
    else()
        set(timeout 900)
    endif()
    set_tests_properties(${name} PROPERTIES LABELS ${kind} TIMEOUT ${timeout} SKIP_RETURN_CODE 77
        ENVIRONMENT "CARILLON_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};CARILLON_BUILD=${CMAKE_BINARY_DIR};CARILLON_SOURCE=${CMAKE_SOURCE_DIR}")
endfunction()

foreach(kind unit contract fuzz sim integration)
    add_custom_target(tests_${kind})
endforeach()

file(GLOB unit_sources CONFIGURE_DEPENDS tests/unit/*/test_*.c)
foreach(source IN LISTS unit_sources)
    string(REGEX REPLACE ".*/([^/]+)/test_([^/]+)\\.c$" "\\1;\\2" parts ${source})
    list(GET parts 0 folder)
    list(GET parts 1 name)
    if(NOT DEFINED unit_${folder})
        message(FATAL_ERROR "${source}: no such folder of the floor plan: ${folder}")
    endif()
    # What the tests of a folder share: *_fixture.c beside them.
    file(GLOB fixtures CONFIGURE_DEPENDS tests/unit/${folder}/*_fixture.c)
    carillon_test(unit ${folder}.${name} "${source};${fixtures}" ${unit_${folder}})
endforeach()

file(GLOB contract_sources CONFIGURE_DEPENDS tests/contract/*.c)
set(contract_shared ${contract_sources})
list(FILTER contract_sources INCLUDE REGEX "/([^/]*_contract|test_[^/]*)\\.c$")
list(FILTER contract_shared EXCLUDE REGEX "/([^/]*_contract|test_[^/]*)\\.c$")
carillon_add_library(carillon_contractlib ${contract_shared})
carillon_link(carillon_contractlib carillon_simlib carillon_testlib)
foreach(source IN LISTS contract_sources)
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^test_|_contract$" "" name ${name})
    if(NOT DEFINED contract_${name})
        set(contract_${name} ${unit_cmd})
    endif()
    carillon_test(contract ${name} ${source} carillon_contractlib carillon_simlib
        ${contract_${name}})
endforeach()

# Fuzz targets: LLVMFuzzerTestOneInput in tests/fuzz/fuzz_<name>.c, inputs in
# tests/fuzz/corpus/<name>/. Everywhere but in the fuzz build a small driver replays the corpus.
file(GLOB fuzz_sources CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
foreach(source IN LISTS fuzz_sources)
    get_filename_component(target ${source} NAME_WE)
    string(REGEX REPLACE "^fuzz_" "" name ${target})
    if(CARILLON_FUZZ)
        add_executable(${target} ${source})
        target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    else()
        add_executable(${target} ${source} tests/fuzz/replay_main.c)
        add_test(NAME fuzz.${name} COMMAND ${target} tests/fuzz/corpus/${name}
            WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
        carillon_test_properties(fuzz.${name} fuzz)
    endif()
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${test_bin}/fuzz)
    target_compile_definitions(${target} PRIVATE CARILLON_ADAPTER=1)
    target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR})
    target_link_libraries(${target} PRIVATE ${unit_cmd} carillon_testlib ${oracles})
    add_dependencies(tests_fuzz ${target})
endforeach()

# The simulator holds the whole of the production libraries, used or not: tools/check_symbols.sh
# proves it. It does not link one adapter.
if(EXISTS ${CMAKE_SOURCE_DIR}/tests/sim/main.c)
    add_executable(sim tests/sim/main.c)
    target_include_directories(sim PRIVATE ${CMAKE_SOURCE_DIR})
    set(whole)
    foreach(lib IN LISTS CARILLON_PURE)
        carillon_has_sources(${lib} has)
        if(has)
            list(APPEND whole $<TARGET_FILE:${lib}>)
            add_dependencies(sim ${lib})
        endif()
    endforeach()
    # By file: CMake's own WHOLE_ARCHIVE forbids that other libraries name the same ones. Named
    # again without, they add nothing but the third-party libraries that they need.
    target_link_libraries(sim PRIVATE -Wl,--whole-archive ${whole} -Wl,--no-whole-archive
        carillon_simlib ${CARILLON_PURE})
    set_target_properties(sim PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${test_bin})
    add_dependencies(tests_sim sim)
endif()

file(GLOB integration_sources CONFIGURE_DEPENDS tests/integration/test_*.c)
foreach(source IN LISTS integration_sources)
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    carillon_test(integration ${name} ${source} ${unit_cmd})
endforeach()
file(GLOB integration_scripts CONFIGURE_DEPENDS
    tests/integration/test_*.sh tests/integration/test_*.py)
foreach(script IN LISTS integration_scripts)
    get_filename_component(name ${script} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    if(script MATCHES "\\.py$")
        add_test(NAME integration.${name} COMMAND python3 ${script}
            WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    else()
        add_test(NAME integration.${name} COMMAND bash ${script}
            WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    endif()
    carillon_test_properties(integration.${name} integration)
endforeach()

# Measurements: programs that are built with the tests, so that they do not rot, and run by hand.
file(GLOB bench_sources CONFIGURE_DEPENDS tests/bench/bench_*.c)
foreach(source IN LISTS bench_sources)
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${test_bin}/bench)
    target_compile_definitions(${name} PRIVATE CARILLON_ADAPTER=1)
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
    target_link_libraries(${name} PRIVATE ${unit_cmd} carillon_testlib ${oracles})
endforeach()
