#!/usr/bin/perl

# What t/nginx-tests makes of a configuration: dynamic_weight in each upstream of
# http, and nothing else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight::Translator qw(translate);
use Test::More;

my $rest = <<'EOF2';
    map $x $y { default "a{b}"; ~"^c" '${z}"d{'; }
    # upstream none { server 127.0.0.1; }
    server { location / { proxy_pass http://u; set $q "${x}upstream {"; } }
EOF2
my $stream = "stream {\n    upstream u { hash \$x; zone u 1m; server 127.0.0.1:1; }\n}\n";

sub within { "http {\n    upstream u {$_[0]}\n$rest}\n$stream" }

for my $case (
    [" server 127.0.0.1; ", " dynamic_weight; server 127.0.0.1; "],
    ["\n server 127.0.0.1; # the only one\n keepalive 1;\n ",
        " dynamic_weight;\n server 127.0.0.1; # the only one\n keepalive 1;\n "],
    ["\n hash \$arg_a consistent;\n zone u 1m;\n server 127.0.0.1 backup;\n ",
        " dynamic_weight hash \$arg_a;\n\n\n server 127.0.0.1 backup;\n "],
    ["\n ip_hash;\n server 127.0.0.1;\n ",
        " dynamic_weight hash \$remote_addr;\n\n server 127.0.0.1;\n "],
    ["\n least_conn;\n ", " dynamic_weight least_conn;\n\n "],
    ["\n random two least_conn;\n ", " dynamic_weight;\n\n "],
    ["\n sticky cookie a;\n ", " dynamic_weight;\n sticky cookie a;\n "],
) {
    my ($block, $want) = @$case;
    is(translate(within($block)), within($want), $block =~ s/\s+/ /gr);
}

done_testing();
