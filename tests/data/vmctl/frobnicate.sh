# an editor: adds an element that vmmd does not know
sed -i 's,</domain>,  <frobnicate/>\n</domain>,' "$1"
