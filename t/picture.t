#!/usr/bin/perl

# The picture of the page in the README: an edge at work, with one ingress node
# that fails. PICTURE=docs/page.png in the environment makes it anew.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use DynamicWeight::Browser;
use Test::More;

my %pods = (orders => [12, 7], payment => [40, 20], search => [3, 0]);

my $t = DynamicWeight->new;
my %cluster = map { $_ => $t->fake_cluster(uc) } 'bj', 'sh';
for my $name ('bj', 'sh') {
    my $net = $name eq 'bj' ? 1 : 2;
    $cluster{$name}->nodes(map { { name => "$name-edge-$_",
        address => "127.0.0.$net$_", ready => JSON::PP::true } }
        1 .. ($name eq 'bj' ? 3 : 2));
    $cluster{$name}->app('prod', $_, $pods{$_}[$net - 1]) for keys %pods;
}

my $upstreams = join '', map { <<"EOF" } sort keys %pods;
    upstream $_ {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        server         127.0.0.2:%%BACKEND%%;
        ingress_nodes  bj service=prod/$_ port=%%BACKEND%%;
        ingress_nodes  sh service=prod/$_ port=%%BACKEND%% empty=drain;
    }
EOF

$t->start_backends;
$t->conf(http => join('', map { <<"EOF" } 'bj', 'sh') . <<"EOF2");
    dynamic_weight_cluster $_ {
        api            %%@{[uc]}%%;
        ingress_nodes  nodes=role=ingress;
        guard          off;
    }
EOF
    dynamic_weight_zone main:8m;
$upstreams
@{[$t->edge_server('orders')]}
EOF2
ok($t->start, 'nginx starts');
wait_ok { http_get($t->port, '/dw/ready')->{status} == 200 } 'ready';
$t->start_load(1);
$cluster{bj}->app('prod', 'orders', 30);
$t->break_backend('127.0.0.12', 'close');

my $browser = DynamicWeight::Browser->new($t);
$browser->look(1280, 1000, 'light');
$browser->open('http://127.0.0.1:' . $t->port . '/dw/');
sub seen { $browser->value('document.body.innerText') }
wait_ok { seen() =~ /1 server failing/ } 'the page tells that a server fails';
like(seen(), qr/30 pods × 10 ÷ 3 nodes/, 'and the arithmetic of the weights');
wait_ok { $browser->value("document.querySelector('#upstreams polyline.o')"
    . ".getAttribute('points').split(' ').length > 8") } 'a chart';

my $picture = $ENV{PICTURE} // $t->dir . '/page.png';
$browser->screenshot($picture);
$t->stop_load;

sub head {
    my ($file) = @_;
    open my $in, '<:raw', $file or return "$file: $!";
    read $in, my $head, 24;
    return join ' ', substr($head, 1, 3), unpack 'N2', substr $head, 16;
}

is(head($picture), 'PNG 1280 1000', 'the picture');
is(head("$DynamicWeight::root/docs/page.png"), 'PNG 1280 1000',
    "the README's is there");

$browser->stop;
$t->done;
