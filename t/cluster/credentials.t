#!/usr/bin/perl

# Tokens that expire or are renewed, and an authority that is renewed, before
# and after the files of the edge are.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::FaultTest;
use Test::More;

my $t = DynamicWeight->new;
my $kube = $t->kube_cluster('A');
my $f = DynamicWeight::FaultTest->new($t, $kube);

# The account's token holds for so long that the edge comes up.
my $expiring = "$t->{dir}/account-token";
my @tokens;
my $renew = sub {
    my ($seconds) = @_;
    push @tokens, $kube->service_account_token('edge', 'reader', $seconds);
    $t->write_file('account-token.new', "$tokens[-1]\n");
    rename "$expiring.new", $expiring or die "$expiring: $!\n";
    return time + $seconds;
};
my $expires = $renew->(3600);
$f->follow('watched', 'mode watch;');
$f->follow('polled', 'mode poll; interval 300ms;');
$f->follow('account_watched', "mode watch; token_file $expiring;");
$f->follow('account_polled',
    "mode poll; interval 300ms; token_file $expiring;");
$f->start;

# Renewed in time: nobody notices.

$f->begin('renewed in time');
my $failures = $f->watch_status('account_polled')->{failures};
$expires = $renew->(5);
wait_for { time > $expires - 3 } 'the last seconds', 60;
$renew->(3600);
$f->has(18);
is($f->watch_status('account_polled')->{failures}, $failures,
    'renewed in time: no request was refused');
$f->recovers;

# Renewed too late. A watch goes on until it is begun again.

$f->begin('expired');
$renew->(3);
$f->failing(qr/HTTP 401.*token_file/, 'account_polled');
$kube->restart('KILL');
$f->failing(qr/HTTP 401.*token_file/, 'account_watched');
$renew->(3600);
$f->recovers;

$f->begin('another token');
$kube->rotate_token('reader-token-2');
$f->failing(qr/HTTP 401.*token_file/, 'polled', 'watched');
$kube->write_token('reader-token-2');
$f->recovers;

$f->begin('another authority');
$kube->rotate_authority;
$f->failing(qr/ca_file/, 'polled', 'watched');
$kube->write_ca;
$f->recovers;

$f->done('reader-token', @tokens);
