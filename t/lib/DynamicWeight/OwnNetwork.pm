package DynamicWeight::OwnNetwork;

# A network for this test alone, in which whole prefixes are the machine's own:
# what listens on every address answers on each of theirs. For pods whose
# addresses an API server or a controller chooses.
#
#   use DynamicWeight::OwnNetwork '10.128.0.0/16', 'fd00:10::/64';
#
# Starts the test again in it: before anything that starts something.

use strict;
use warnings;

sub import {
    my (undef, @prefixes) = @_;
    if (!$ENV{TEST_OWN_NETWORK}) {
        local $ENV{TEST_OWN_NETWORK} = 1;
        exec 'unshare', '--net', $^X, $0 or die "unshare: $!\n";
    }
    for my $command ('link set lo up',
            map { "route add local $_ dev lo" } @prefixes) {
        my $family = $command =~ /route.*::/ ? '-6' : '-4';
        system("ip $family $command") == 0 or die "no network of its own\n";
    }
    return;
}

1;
