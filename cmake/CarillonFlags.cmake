# Compiler and linker flags: warnings, optimisation, hardening, sanitizers.
# Everything is probed, because gcc 12 and clang 14 differ and later compilers know more.
include(CheckCCompilerFlag)
include(CheckLinkerFlag)

# Appends the flags that the compiler understands to the list variable "out".
function(carillon_probe_flags out)
    set(found ${${out}})
    foreach(flag IN LISTS ARGN)
        string(MAKE_C_IDENTIFIER "CARILLON_HAS${flag}" var)
        set(CMAKE_REQUIRED_FLAGS -Werror)
        set(CMAKE_REQUIRED_QUIET ON)
        check_c_compiler_flag("${flag}" ${var})
        if(${var})
            list(APPEND found "${flag}")
        endif()
    endforeach()
    set(${out} ${found} PARENT_SCOPE)
endfunction()

# -Wl,... options; clang's driver accepts all -Wl, so the linker itself must be asked.
function(carillon_probe_link_flags out)
    set(found ${${out}})
    foreach(flag IN LISTS ARGN)
        string(MAKE_C_IDENTIFIER "CARILLON_LINKS${flag}" var)
        set(CMAKE_REQUIRED_QUIET ON)
        check_linker_flag(C "${flag}" ${var})
        if(${var})
            list(APPEND found "${flag}")
        endif()
    endforeach()
    set(${out} ${found} PARENT_SCOPE)
endfunction()

set(warnings)
carillon_probe_flags(warnings
    -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
    -Wmissing-prototypes -Wvla -Wundef -Wformat=2 -Wswitch-enum -Wimplicit-fallthrough
    -Wtrampolines -Wbidi-chars=any -Wthread-safety)
set(always)
# No aliasing or overflow surprises in any build: what is tested is what is shipped.
carillon_probe_flags(always
    -fno-strict-overflow -fno-strict-aliasing -fno-delete-null-pointer-checks
    -fno-omit-frame-pointer -Werror=implicit -Werror=incompatible-pointer-types
    -Werror=int-conversion)
add_compile_options(${warnings} ${always} -Werror=format-security)
if(CARILLON_WERROR)
    add_compile_options(-Werror)
endif()

set(hardening)
set(hardening_link)
if(CARILLON_HARDENING)
    carillon_probe_flags(hardening
        -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
        -ftrivial-auto-var-init=zero -fexceptions
        -fstrict-flex-arrays=3 -fzero-init-padding-bits=all) # the last two: gcc 13 and 15
    list(APPEND hardening -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
    carillon_probe_link_flags(hardening_link
        -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed
        -Wl,--no-copy-dt-needed-entries)
    add_compile_options(${hardening})
    # No -z nodlopen: the linker ignores it for programs (glibc loads none that is a PIE), and a client
    # library that has it could not be loaded by a plug-in or a language binding.
    add_link_options(${hardening_link} $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie>)
endif()

if(CARILLON_SANITIZE)
    add_compile_options(-fsanitize=${CARILLON_SANITIZE} -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${CARILLON_SANITIZE})
endif()
if(CARILLON_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(CARILLON_COVERAGE)
    add_compile_options(--coverage -fprofile-update=atomic)
    add_link_options(--coverage)
endif()
