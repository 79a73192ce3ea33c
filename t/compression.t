#!/usr/bin/perl

# The page, the status and the metrics, compressed for those who ask for it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use IO::Uncompress::Gunzip qw(gunzip);
use JSON::PP;
use Test::More;

my $t = DynamicWeight->new(workers => 1);
my $many = join "\n", map { "server 127.0.1.$_:1;" } 1 .. 250;
my %port = map { $_ => free_port() } qw(on off);
$t->conf(http => <<"EOF");
    dynamic_weight_zone main:2m;
    upstream many { dynamic_weight; $many }
    server {
        listen             127.0.0.1:$port{on};
        gzip               on;
        gzip_types         text/plain application/json;
        gzip_http_version  1.0;
        gzip_vary          on;
        location /dw/ { dynamic_weight_status; }
        location /slow/ { dynamic_weight_status; limit_rate 20k; }
    }
    server {
        listen             127.0.0.1:$port{off};
        gzip               off;
        location /dw/ { dynamic_weight_status; }
    }
EOF
ok($t->start, 'nginx starts');

sub get {
    my ($on, $uri, $encoding) = @_;
    return http_get($port{$on}, $uri, headers => defined $encoding
        ? "Accept-Encoding: $encoding\r\n" : '');
}

# All but numbers and nonces, which are others from one answer to the next.
sub lasting {
    my ($text) = @_;
    return $text =~ s/nonce[-=]"?[\w+\/=]+/nonce/gr =~ s/[\d.]+/0/gr;
}

my %type = (
    '/dw/'        => 'text/html; charset=utf-8',
    '/dw/status'  => 'application/json',
    '/dw/metrics' => 'text/plain; version=0.0.4; charset=utf-8',
);
for my $uri (sort keys %type) {
    my $plain = get('off', $uri, 'gzip');
    unlike($plain->{headers}, qr/^Content-Encoding/mi, "$uri: off");
    unlike(get('on', $uri)->{headers}, qr/^Content-Encoding/mi,
        "$uri: not asked for");

    my $answer = get('on', $uri, 'gzip');
    is($answer->{status}, 200, "$uri: asked for");
    like($answer->{headers}, qr/^Content-Encoding: gzip\r?$/m,
        "$uri: compressed");
    like($answer->{headers}, qr/^Vary: Accept-Encoding\r?$/m, "$uri: varies");
    like($answer->{headers}, qr/^Content-Type: \Q$type{$uri}\E\r?$/m,
        "$uri: the type is whole");
    unlike($answer->{headers}, qr/^ETag/mi, "$uri: no ETag");
    my $text = '';
    gunzip(\$answer->{body} => \$text);
    is(lasting($text), lasting($plain->{body}), "$uri: the same as without");
    cmp_ok(length $answer->{body}, '<', length($text) / 2, "$uri: smaller");
}

# A reader slower than we are gets all of it, too.

my $answer = get('on', '/slow/status', 'gzip');
my $text = '{}';
gunzip(\$answer->{body} => \$text);
is(scalar @{decode_json($text)->{upstreams}{many}{peers}}, 250,
    'a slow reader gets all of it');

$t->done;
