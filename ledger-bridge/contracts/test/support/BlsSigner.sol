// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bls12381} from "../../src/Bls12381.sol";

/// @title Keys and signatures of BLS12-381, made by the precompiles. For tests: a secret in calldata is none.
library BlsSigner {
    bytes internal constant G2 = hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
        hex"0000000000000000000000000000000013e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
        hex"000000000000000000000000000000000ce5d527727d6e118cc9cdc6da2e351aadfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801"
        hex"000000000000000000000000000000000606c4a02ea734cc32acd2b02bc28b99cb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be";
    bytes internal constant SIGNATURE_TAG = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
    bytes internal constant POSSESSION_TAG = "BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";

    function keyOf(uint256 secret) internal view returns (bytes memory key) {
        bool done;
        (done, key) = address(0x0e).staticcall(bytes.concat(G2, bytes32(secret)));
        require(done, "G2MSM");
    }

    function sign(uint256 secret, bytes memory message, bytes memory tag)
        internal
        view
        returns (bytes memory signature)
    {
        bool done;
        bytes memory hash = Bls12381.hashToG1(message, tag);
        (done, signature) = address(0x0c).staticcall(bytes.concat(hash, bytes32(secret)));
        require(done, "G1MSM");
    }

    function minus(bytes memory key) internal pure returns (bytes memory out) {
        out = bytes.concat(key);
        Bls12381.negateG2(out, 0);
    }

    function add(bytes memory a, bytes memory b) internal view returns (bytes memory sum) {
        bool done;
        (done, sum) = address(0x0b).staticcall(bytes.concat(a, b));
        require(done, "G1ADD");
    }
}
