# For `sed -E`, on the documents of a package: a link to a source file, which is not installed, becomes plain text.
s,\[([^]]*)\]\(((\.\./)?(lib|daemon|ctl|man|conf|systemd|tests|packaging)/[^)]*|CONTRIBUTING\.md|LICENSE)\),\1,g
