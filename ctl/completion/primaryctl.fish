# SPDX-License-Identifier: Apache-2.0
# fish completion for primaryctl: primaryctl itself knows what may follow.
function __primaryctl_complete
	set -l found (primaryctl --complete (commandline -opc)[2..] (commandline -ct) 2> /dev/null)
	if set -q found[1]
		printf '%s\n' $found
	else
		__fish_complete_path (commandline -ct)
	end
end
complete -c primaryctl -f -a '(__primaryctl_complete)'
