# libcarillon: net/client*.c and what it needs, as a shared and a static library that show the
# public prefix carillon_ and nothing else.
file(GLOB client_sources CONFIGURE_DEPENDS net/client*.c)
if(client_sources AND EXISTS ${CMAKE_SOURCE_DIR}/include/carillon/carillon.h)
    add_library(libcarillon SHARED ${client_sources})
    target_include_directories(libcarillon PRIVATE ${CMAKE_SOURCE_DIR}
        PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>)
    target_link_libraries(libcarillon PRIVATE carillon_net_nng carillon_net carillon_base_os
        carillon_base nng::nng)
    target_link_options(libcarillon PRIVATE
        -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/libcarillon.map)
    set_target_properties(libcarillon PROPERTIES OUTPUT_NAME carillon
        VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
        LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/libcarillon.map)

    # One relocatable object whose other symbols are local: a program may have an err_set() of
    # its own. --gc-sections is not needed: ld -r takes from the archives only what is used.
    set(static_lib ${CMAKE_ARCHIVE_OUTPUT_DIRECTORY}/libcarillon.a)
    set(static_obj ${CMAKE_BINARY_DIR}/libcarillon.o)
    add_library(carillon_client_objects OBJECT ${client_sources})
    target_include_directories(carillon_client_objects PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/include)
    add_custom_command(OUTPUT ${static_lib}
        COMMAND ${CMAKE_LINKER} -r -o ${static_obj} $<TARGET_OBJECTS:carillon_client_objects>
                --start-group $<TARGET_FILE:carillon_net_nng> $<TARGET_FILE:carillon_net>
                $<TARGET_FILE:carillon_base_os> $<TARGET_FILE:carillon_base> --end-group
        COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=carillon_* ${static_obj}
        COMMAND ${CMAKE_COMMAND} -E rm -f ${static_lib}
        COMMAND ${CMAKE_AR} rcs ${static_lib} ${static_obj}
        DEPENDS carillon_client_objects $<TARGET_OBJECTS:carillon_client_objects>
                carillon_net_nng carillon_net carillon_base_os carillon_base
        COMMAND_EXPAND_LISTS VERBATIM)
    add_custom_target(libcarillon_static ALL DEPENDS ${static_lib})

    set(CARILLON_PRIVATE_LIBS "-lnng -luv -lmsgpackc -lyaml -lxxhash -lcrypto -lm -pthread")
    # Relative to the .pc file, so that an installed tree can be moved.
    file(RELATIVE_PATH CARILLON_PREFIX_OF_PC
        ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
    string(REGEX REPLACE "/$" "" CARILLON_PREFIX_OF_PC "${CARILLON_PREFIX_OF_PC}")
    configure_file(cmake/carillon.pc.in ${CMAKE_BINARY_DIR}/carillon.pc @ONLY)
    install(TARGETS libcarillon DESTINATION ${CMAKE_INSTALL_LIBDIR})
    install(FILES ${static_lib} DESTINATION ${CMAKE_INSTALL_LIBDIR})
    install(FILES include/carillon/carillon.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/carillon)
    install(FILES ${CMAKE_BINARY_DIR}/carillon.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()
